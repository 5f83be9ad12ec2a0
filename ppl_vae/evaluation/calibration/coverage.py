r"""Coverage of regions around random points.

The ball around a reference point :math:`r` that reaches to the true :math:`z^*` holds a share of
the draws; where the guide is exact, that share is uniform, whatever rule of :math:`x` and chance
the reference comes from. A reference that does not depend on :math:`x` is blind to a guide that
does not: the prior itself would pass. Here it is the latent variable of another simulation, the
data of which are the nearest to :math:`x`.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["distances", "nearest"]


def nearest(x: Tensor, others: Tensor) -> Tensor:
    r"""Tells which of other data is the nearest to each datum.

    Elements are measured in their standard deviations; missing ones (NaN) count as the mean.

    Example:
        >>> nearest(torch.tensor([[0.9], [0.1]]), torch.tensor([[0.0], [1.0], [5.0]]))
        tensor([1, 0])

    Arguments:
        x: The data, with shape ``(n, E)``.
        others: The other data, with shape ``(m, E)``.

    Returns:
        The number of the row of ``others`` for each row of ``x``, with shape ``(n,)``.
    """
    centre, scale = others.mean(0), _scale(others)
    at, to = (((t - centre) / scale).nan_to_num(0.0) for t in (x, others))
    return torch.cdist(at, to).argmin(1)


def distances(z: Tensor, references: Tensor, others: Tensor) -> Tensor:
    r"""The distances of latent variables from reference points.

    Example:
        >>> z = torch.tensor([[[3.0, 4.0]], [[0.0, 0.0]]])
        >>> distances(z, torch.zeros(1, 2), torch.tensor([[-1.0, -1.0], [1.0, 1.0]]))
        tensor([[5.],
                [0.]])

    References:
        | Sampling-Based Accuracy Testing of Posterior Estimators for General Inference (Lemos et
          al., 2023)
        | https://arxiv.org/abs/2302.03026

    Arguments:
        z: The latent variables, with shape ``(K, n, D)``.
        references: The reference points, with shape ``(n, D)``.
        others: Latent variables, with shape ``(m, D)``, whose standard deviations are the units;
            they may not be those that are tested.

    Returns:
        The distances, with shape ``(K, n)``.
    """
    return ((z - references) / _scale(others)).square().sum(-1).sqrt()


def _scale(t: Tensor) -> Tensor:
    # What does not vary is left as it is.
    scale = t.std(0, correction=0)
    return torch.where(scale > 0, scale, 1.0)
