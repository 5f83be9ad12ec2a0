r"""Disentangled inferred priors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..weights import Weights
from .aggregate import check_plain, elements_of
from .divergences import divergences
from .reweighted import Reweighted

__all__ = ["DIP"]


class DIP(Reweighted):
    r"""The ELBO, with a penalty on the covariance of the aggregate posterior.

    .. math:: \text{penalty} = \mathrm{KL} + \lambda_o \sum_{i \neq j} C_{ij}^2
        + \lambda_d \sum_i (C_{ii} - 1)^2

    where :math:`C` is the covariance of the posterior means over the batch for kind one; for kind
    two the mean of the posterior variances is added to its diagonal, so that it is the covariance
    of the aggregate posterior. It bounds nothing, and is
    meant for priors of identity covariance. All sites must be reparameterized, their elements
    independent given the data, of known mean and variance.

    Example:
        >>> from ppl_vae.conditional import Conditional
        >>> from ppl_vae.families import Normal
        >>> from ppl_vae.guides import Amortized
        >>> from ppl_vae.models import Linear
        >>> from ppl_vae.networks import mlp
        >>> model = Linear(features=5, latent=2)
        >>> guide = Amortized(Conditional((5,), Normal((2,)), mlp([8])))
        >>> DIP(kind=2).loss(model, guide, model(n=10)).shape
        torch.Size([])

    References:
        | Variational Inference of Disentangled Latent Concepts from Unlabeled Observations
        | (Kumar et al., 2018)
        | https://arxiv.org/abs/1711.00848

    Arguments:
        kind: One, or two.
        off_diagonal: The weight :math:`\lambda_o`, per datum.
        diagonal: The weight :math:`\lambda_d`, per datum.
        particles: As in :class:`~ppl_vae.objectives.Objective`.
        vectorized: As in :class:`~ppl_vae.objectives.Objective`.
        max_plate_nesting: As in :class:`~ppl_vae.objectives.Objective`.

    Raises:
        ValueError: If the kind is neither, a weight is negative, the elements of a site depend on
            each other, a site is not reparameterized, or lies outside of the plate of the data.
    """

    def __init__(
        self,
        kind: int = 1,
        off_diagonal: float = 10.0,
        diagonal: float = 10.0,
        particles: int = 1,
        vectorized: bool = True,
        max_plate_nesting: int | None = None,
    ) -> None:
        super().__init__(particles, vectorized, max_plate_nesting)

        if kind not in (1, 2) or min(off_diagonal, diagonal) < 0:
            raise ValueError(
                "DIP is of kind 1 or 2, with weights that are not negative, got "
                f"kind={kind}, off_diagonal={off_diagonal} and diagonal={diagonal}."
            )

        self.kind = kind
        self.off_diagonal = off_diagonal
        self.diagonal = diagonal

    def penalty_of(self, weights: Weights) -> Tensor:
        penalty = torch.stack([kl.mean(0).sum() for kl in divergences(weights).values()]).sum()

        for name, site in weights.sites.items():
            check_plain("DIP", name, site)
            runs = [_moments(name, run.q) for run in site.parts or (site,)]
            mean, variance = (torch.cat(parts) for parts in zip(*runs, strict=True))
            centred = mean - mean.mean(0)
            C = centred.mT @ centred / len(mean)
            if self.kind == 2:
                C = C + variance.mean(0).diag()
            diagonal = C.diagonal()
            off = C.square().sum() - diagonal.square().sum()
            spread = (diagonal - 1).square().sum()
            penalty = penalty + weights.n * (self.off_diagonal * off + self.diagonal * spread)

        return penalty

    def extra_repr(self) -> str:
        return f"kind={self.kind}, particles={self.particles}"


def _moments(name: str, q: Any) -> tuple[Tensor, Tensor]:
    # The means and the variances of the elements, one row for each datum and particle.
    law = elements_of("DIP", name, q)

    try:
        moments = law.mean, law.variance
    except NotImplementedError:
        raise ValueError(
            f"DIP needs the mean and the variance of the posterior, which are not known of that of "
            f"site {name!r}, {type(law).__name__}; take Normal, or another family with moments."
        ) from None

    mean, variance = (t.reshape(-1, q.event_shape.numel()) for t in moments)
    return mean, variance
