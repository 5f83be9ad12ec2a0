r"""How many elements of a code are used."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["active_units"]


def active_units(means: Tensor, threshold: float = 0.01) -> Tensor:
    r"""Tells which elements of a code depend on the data.

    .. math:: \operatorname{Var}_x \big( \mathbb{E}_{q(z \mid x)}[z_d] \big) > \tau

    Example:
        >>> import torch
        >>> means = torch.tensor([[0.0, 1.0], [0.01, -1.0]])  # as run.encode(x)["z"]["mean"]
        >>> active_units(means)
        tensor([False,  True])

    References:
        | Importance Weighted Autoencoders (Burda et al., 2016)
        | https://arxiv.org/abs/1509.00519

    Arguments:
        means: The posterior means, with shape ``(n, *z_shape)``.
        threshold: The variance :math:`\tau`, for codes in the scale of a standard normal prior.

    Returns:
        Whether each element is active, with shape ``(*z_shape)``.

    Raises:
        ValueError: If there are fewer than two data.
    """
    if len(means) < 2:
        raise ValueError(f"A variance over data takes two or more, got {len(means)}.")

    return torch.var(means, dim=0) > threshold
