r"""The tail of importance weights."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["khat"]


def khat(log_w: Tensor) -> Tensor:
    r"""The shape :math:`\hat{k}` of a generalized Pareto tail of the weights of each datum.

    The :math:`M = \lceil \min(K / 5, 3 \sqrt{K}) \rceil` largest weights, less the largest of the
    rest, are fitted by the method of Zhang and Stephens, with the weakly informative prior of
    Vehtari et al.
    Below 0.5 the weights have finite variance, and the error bar of an average is to be trusted;
    above 0.7 it is not, and more particles help little.

    Example:
        >>> k = khat(torch.randn(1000, 3))
        >>> k.shape, bool((k < 0.7).all())
        (torch.Size([3]), True)

    References:
        | Pareto Smoothed Importance Sampling (Vehtari et al., 2024)
        | https://arxiv.org/abs/1507.02646

        | A New and Efficient Estimation Method for the Generalized Pareto Distribution
        | (Zhang & Stephens, 2009)
        | https://doi.org/10.1198/tech.2009.08017

    Arguments:
        log_w: Log weights, with shape ``(K, n)``.

    Returns:
        :math:`\hat{k}`, with shape ``(n,)``: :math:`-\infty` where the :math:`M` largest weights
        are equal up to rounding, and NaN for want of a tail, with fewer than 25 particles, or
        where a quarter of the :math:`M` are equal, as discrete latent variables make them.
    """
    K = len(log_w)

    if K < 25:
        return log_w.new_full(log_w.shape[1:], torch.nan)

    M = math.ceil(min(K / 5, 3 * K**0.5))
    top = log_w.double().sort(0).values[-M - 1 :]
    rounding = 8 * torch.finfo(log_w.dtype).eps * top.abs().amax(0)
    tied, equal = (top[1 + i] - top[0] <= rounding for i in (_quartile(M), M - 1))
    top = (top - top[-1]).exp()
    k = _shape((top[1:] - top[0]).clamp(min=0) + 1e-300)
    k = k.masked_fill(tied, torch.nan).masked_fill(equal, -torch.inf)
    return k.to(log_w)


def _quartile(M: int) -> int:
    return max(int(M / 4 + 0.5) - 1, 0)


def _shape(x: Tensor) -> Tensor:
    # x holds M sorted exceedances for each of n data, with shape (M, n).
    M = len(x)
    grid = 30 + int(M**0.5)
    j = torch.arange(1, grid + 1, dtype=x.dtype, device=x.device)[:, None]
    quartile = x[_quartile(M)]
    theta = 1 / x[-1] + (1 - (grid / (j - 0.5)).sqrt()) / (3 * quartile)

    # (grid, n): the profile log likelihood at each candidate, averaged over the posterior.
    k = torch.stack([torch.log1p(-t * x).mean(0) for t in theta])
    profile = M * ((-theta / k).log() - k - 1)
    theta = (profile.softmax(0) * theta).sum(0)
    k = torch.log1p(-theta * x).mean(0)
    return (M * k + 10 * 0.5) / (M + 10)
