r"""Normal vectors whose divergence from independent elements is known.

torch knows the divergences of normal vectors from each other, and those of independent elements
from each other, but not these. They are registered for classes of this library alone: what is
known of torch's own is for torch, and for the programs of others, to tell.
"""

from __future__ import annotations

import math

import pyro.distributions as dist
from torch import Tensor
from torch.distributions import Independent, Normal, register_kl

__all__ = ["LowRankMultivariateNormal", "MultivariateNormal"]


class MultivariateNormal(dist.MultivariateNormal):
    r"""A normal vector with any covariance.

    .. math:: \mathrm{KL}(p \| q) = \sum_i \left( \log \sigma_i \sqrt{2 \pi}
        + \frac{v_i + (m_i - \mu_i)^2}{2 \sigma_i^2} \right) - \mathrm{H}(p)

    is its divergence from independent normal elements :math:`q`, where :math:`m_i` and
    :math:`v_i` are the mean and the variance of element :math:`i`.

    Example:
        >>> import torch
        >>> p = MultivariateNormal(torch.zeros(3), 2 * torch.eye(3))
        >>> q = dist.Normal(torch.zeros(3), 1.0).to_event(1)
        >>> torch.distributions.kl_divergence(p, q)  # 3 (1 - log 2) / 2
        tensor(0.4603)
    """


class LowRankMultivariateNormal(dist.LowRankMultivariateNormal):
    r"""A normal vector with a covariance of low rank and a diagonal.

    Its divergence from independent normal elements is that of :class:`MultivariateNormal`.
    """


@register_kl(LowRankMultivariateNormal, Independent)
@register_kl(MultivariateNormal, Independent)
def _kl(p: LowRankMultivariateNormal | MultivariateNormal, q: Independent) -> Tensor:
    normal = q.base_dist

    if not isinstance(normal, Normal) or q.reinterpreted_batch_ndims != 1:
        raise NotImplementedError(
            f"No KL(p || q) is known for {type(p).__name__} and independent "
            f"{type(normal).__name__} elements."
        )

    second = p.variance + (p.mean - normal.loc).square()
    terms = normal.scale.log() + second / (2 * normal.scale.square())
    total: Tensor = (terms + 0.5 * math.log(2 * math.pi)).sum(-1) - p.entropy()
    return total
