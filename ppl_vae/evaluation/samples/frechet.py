r"""The Fréchet distance of normal distributions, and of rows through their moments."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..two_sample import as_rows

__all__ = ["frechet_distance", "gaussian_distance", "half_sampled"]


def gaussian_distance(mean_a: Tensor, cov_a: Tensor, mean_b: Tensor, cov_b: Tensor) -> Tensor:
    r"""The squared Fréchet distance of two normal distributions, which is their 2-Wasserstein's.

    .. math:: d^2 = \| \mu_a - \mu_b \|^2 + \operatorname{tr}(\Sigma_a + \Sigma_b)
        - 2 \| \Sigma_a^{1/2} \Sigma_b^{1/2} \|_*

    The last is the sum of singular values, which equals the trace of
    :math:`(\Sigma_a^{1/2} \Sigma_b \Sigma_a^{1/2})^{1/2}` but needs no root of a matrix that is
    not symmetric.

    Example:
        >>> zero, one = torch.zeros(2).double(), torch.eye(2).double()
        >>> round(float(gaussian_distance(zero, one, zero + 3, 4 * one)), 9)
        20.0

    References:
        | The Fréchet Distance between Multivariate Normal Distributions
        | (Dowson & Landau, 1982)
        | https://doi.org/10.1016/0047-259X(82)90077-X

    Arguments:
        mean_a: The mean of one, with shape ``(d,)``.
        cov_a: Its covariance, with shape ``(d, d)``.
        mean_b: The mean of the other.
        cov_b: Its covariance.
    """
    root_a, root_b = (_root(cov) for cov in (cov_a, cov_b))
    common = torch.linalg.svdvals(root_a @ root_b).sum()
    apart = (mean_a - mean_b).square().sum() + cov_a.trace() + cov_b.trace() - 2 * common
    return apart.clamp(min=0)


def frechet_distance(a: Any, b: Any) -> float:
    r"""The squared Fréchet distance of the normal distributions that have the moments of rows.

    It is symmetric and zero for equal rows. Between samples of one distribution it is not zero
    but of order :math:`d^2 / n`, as moments are estimated: read it beside that of other real rows
    of the same number.

    Example:
        >>> x = torch.randn(500, 3, generator=torch.Generator().manual_seed(0))
        >>> frechet_distance(x, x) < 1e-9
        True
        >>> round(frechet_distance(x, x + 2), 6)
        12.0

    References:
        | GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium
        | (Heusel et al., 2017)
        | https://arxiv.org/abs/1706.08500

    Arguments:
        a: The rows of one sample, such as features, with shape ``(n, *shape)``.
        b: The rows of the other, with shape ``(m, *shape)``.

    Raises:
        ValueError: As :func:`~ppl_vae.evaluation.two_sample.mmd_test`.
    """
    a, b = as_rows(a, b)
    return float(gaussian_distance(a.mean(0), _covariance(a), b.mean(0), _covariance(b)))


def half_sampled(a: Tensor, b: Tensor, replicates: int, seed: int) -> float:
    r"""The standard error of :func:`frechet_distance`: its spread over halves of both samples.

    It is about right where the samples differ, and too large where they are alike.
    """
    generator = torch.Generator().manual_seed(seed)

    def half(rows: Tensor) -> Tensor:
        return rows[torch.randperm(len(rows), generator=generator)[: len(rows) // 2]]

    found = [frechet_distance(half(a), half(b)) for _ in range(replicates)]
    return float(torch.tensor(found, dtype=torch.float64).std())


def _covariance(x: Tensor) -> Tensor:
    x = x - x.mean(0)
    return x.mT @ x / (len(x) - 1)


def _root(cov: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(cov)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.mT
