r"""The product of two normal densities."""

from __future__ import annotations

from typing import Any

import pyro.distributions as dist
import torch

__all__ = ["merged"]


def merged(a: Any, b: Any) -> dist.TorchDistribution:
    r"""The normal whose density is that of two normals, multiplied and normalized.

    .. math::
        \mathcal{N}(\mu, \sigma^2) & \propto \mathcal{N}(\mu_a, \sigma_a^2) \,
            \mathcal{N}(\mu_b, \sigma_b^2) \\
        \frac{1}{\sigma^2} & = \frac{1}{\sigma_a^2} + \frac{1}{\sigma_b^2} \\
        \frac{\mu}{\sigma^2} & = \frac{\mu_a}{\sigma_a^2} + \frac{\mu_b}{\sigma_b^2}

    for each element: precisions add up, and means are weighted by them.

    Example:
        >>> import torch
        >>> from ppl_vae.families import Normal
        >>> family = Normal((2,), scale=1.0)
        >>> q = merged(family(torch.zeros(5, 1, 2)), family(torch.ones(5, 1, 2)))
        >>> q.batch_shape, q.mean[0], q.variance[0]
        (torch.Size([5]), tensor([0.5000, 0.5000]), tensor([0.5000, 0.5000]))

    Arguments:
        a: What the family :class:`~ppl_vae.families.Normal` returns.
        b: Another, with the same event shape; batch shapes are broadcast.
    """
    dims = len(a.event_shape)
    a, b = (_elements(p, dims) for p in (a, b))
    # Written so that neither precisions nor their sum can overflow.
    total = torch.hypot(a.scale, b.scale)
    share = (a.scale / total) ** 2
    loc = a.loc + share * (b.loc - a.loc)
    return dist.Normal(loc, a.scale * (b.scale / total)).to_event(dims)


def _elements(p: Any, dims: int) -> Any:
    return p.base_dist if dims > 0 else p
