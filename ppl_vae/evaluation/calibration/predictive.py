r"""Where data lie among predictions of them.

A datum :math:`x` has been seen by its own posterior, so its place among draws of
:math:`p(x' \mid z), z \sim q(z \mid x)` is near the middle even where the guide is exact: it is no
probability integral transform. What is tested here is a second datum :math:`y` of the same latent
variable :math:`z^*`, which the guide has not seen: given :math:`x`, it and the predictions have one
distribution if the guide is exact.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["names", "summaries"]


def names(site: str, elements: int) -> list[str]:
    r"""What the columns of :func:`summaries` are, in words."""
    if elements == 1:
        return [f"new {site}"]

    return [f"mean of new {site}", f"spread of new {site}", f"random element of new {site}"]


def summaries(y: Tensor, chosen: Tensor) -> Tensor:
    r"""Numbers of data that are compared with those of predictions.

    Example:
        >>> y = torch.tensor([[1.0, 3.0], [2.0, 2.0]])
        >>> summaries(y, torch.tensor([1, 0]))
        tensor([[2., 1., 3.],
                [2., 0., 2.]], dtype=torch.float64)

    Arguments:
        y: The data, with shape ``(n, *x_shape)``.
        chosen: The number of one element of each, with shape ``(n,)``. Chosen at random, it
            stands for all elements, which are not independent of each other.

    Returns:
        The mean, the standard deviation over the elements, and the chosen one, with shape
        ``(n, 3)``; of single numbers themselves, ``(n, 1)``.
    """
    flat = y.reshape(len(y), -1).cpu().double()

    if flat.shape[1] == 1:
        return flat

    one = flat.gather(1, chosen[:, None])[:, 0]
    return torch.stack([flat.mean(1), flat.std(1, correction=0), one], 1)
