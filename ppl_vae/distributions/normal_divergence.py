r"""Divergences of dependent normal elements from independent ones, which Pyro does not know."""

from __future__ import annotations

import math

from torch import Tensor
from torch.distributions import (
    Independent,
    LowRankMultivariateNormal,
    MultivariateNormal,
    Normal,
    register_kl,
)

__all__ = ["kl_to_independent"]


@register_kl(LowRankMultivariateNormal, Independent)
@register_kl(MultivariateNormal, Independent)
def kl_to_independent(p: LowRankMultivariateNormal | MultivariateNormal, q: Independent) -> Tensor:
    r"""Returns the divergence of a normal vector from independent normal elements.

    .. math:: \mathrm{KL}(p \| q) = \sum_i \left( \log \sigma_i \sqrt{2 \pi}
        + \frac{v_i + (m_i - \mu_i)^2}{2 \sigma_i^2} \right) - \mathrm{H}(p)

    where :math:`m_i` and :math:`v_i` are the mean and the variance of element :math:`i` of
    :math:`p`. It is what :func:`torch.distributions.kl_divergence` returns for such a pair.

    Example:
        >>> import torch
        >>> p = MultivariateNormal(torch.zeros(3), 2 * torch.eye(3))
        >>> q = Independent(Normal(torch.zeros(3), torch.ones(3)), 1)
        >>> kl_to_independent(p, q)  # 3 (1 - log 2) / 2
        tensor(0.4603)

    Raises:
        NotImplementedError: If :math:`q` is no vector of independent normal elements.
    """
    normal = q.base_dist

    if not isinstance(normal, Normal) or q.reinterpreted_batch_ndims != 1:
        raise NotImplementedError

    second = p.variance + (p.mean - normal.loc).square()
    terms = normal.scale.log() + second / (2 * normal.scale.square())
    return (terms + 0.5 * math.log(2 * math.pi)).sum(-1) - p.entropy()
