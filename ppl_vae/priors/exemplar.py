r"""The mixture around encoded data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor, nn

from ..families.scale import bounded, check_bounds
from .base import Prior
from .rows import check_posterior, pick_rows

__all__ = ["Exemplar"]


class Exemplar(Prior):
    r"""A kernel density estimate in the latent space, around the codes of exemplars.

    .. math:: p(z) = \frac{1}{N} \sum_{n=1}^N \mathcal{N}(z \mid \mu(x_n), \sigma^2 I)

    where :math:`\mu(x)` is the mean of the guide's posterior, and :math:`\sigma` is learned. The
    exemplars :math:`x_n` are random rows of the training set, the same ones throughout, kept with
    the module's state; they are encoded anew at each step, and gradients pass through.

    Two things of the paper are left out. All :math:`N` kernels are summed, exactly, where the
    paper keeps those of the nearest neighbours among all training data: a few hundred exemplars
    are cheap, and the density stays one that can be evaluated. And no exemplar is left out of the
    prior of its own code, since a prior does not know whose code it scores: a datum that is an
    exemplar finds itself. That flatters the training bound of the exemplars, a share
    :math:`N / N_\text{train}` of the data, so keep it small; held-out data are not concerned.

    Example:
        >>> from ppl_vae.conditional import Conditional
        >>> from ppl_vae.families import Normal
        >>> from ppl_vae.networks import mlp
        >>> posterior = Conditional((64,), Normal((8,)), mlp())
        >>> prior = Exemplar((8,), exemplars=30).attach(posterior, torch.rand(1000, 64))
        >>> prior().event_shape
        torch.Size([8])

    References:
        | Exemplar VAE: Linking Generative Models, Nearest Neighbor Retrieval, and Data
        | Augmentation (Norouzi et al., 2020)
        | https://arxiv.org/abs/2004.04795

    Arguments:
        event_shape: The shape of one draw.
        exemplars: The number :math:`N` of exemplars; rows repeat where there are fewer.
        floor: The smallest scale :math:`\sigma`.
        ceiling: The largest scale :math:`\sigma`.

    Raises:
        ValueError: If there is no exemplar, the bounds are not ``0 < floor < 1 < ceiling``, if the
            posterior or the rows do not fit (another shape, no mean, parameters per datum,
            BatchNorm, missing entries), or if the prior is used before :meth:`attach` gave it the
            posterior.
    """

    rows: Tensor

    def __init__(
        self,
        event_shape: Sequence[int],
        exemplars: int = 500,
        floor: float = 1e-3,
        ceiling: float = 1e3,
    ) -> None:
        super().__init__(event_shape)

        if exemplars < 1:
            raise ValueError(f"Exemplar needs one exemplar or more, got {exemplars}.")

        self.exemplars = exemplars
        self.floor = floor
        self.ceiling = ceiling
        self.posterior: Any = None
        self.rho = nn.Parameter(torch.zeros(()))
        check_bounds(floor, ceiling)

    def attach(self, posterior: Any = None, data: Tensor | None = None) -> Prior:
        rows = pick_rows("Exemplar", check_posterior(self, posterior, data), self.exemplars)

        try:
            with torch.no_grad():
                found = bool(posterior(rows[:1]).mean.isfinite().all())
        except NotImplementedError:
            found = False
        if not found:
            raise ValueError(
                "The kernels of Exemplar are about means of the posterior, and "
                f"{type(posterior.family).__name__} has none in closed form; take a posterior "
                "such as Normal."
            )

        self.posterior = posterior
        self.register_buffer("rows", rows)
        return self

    def forward(self) -> dist.TorchDistribution:
        if self.posterior is None:
            raise ValueError(
                "Exemplar has no posterior yet; call prior.attach(posterior, data) first."
            )

        loc = self.posterior(self.rows).mean
        normal = dist.Normal(loc, bounded(self.rho, self.floor, self.ceiling))
        weights = dist.Categorical(logits=self.rho.new_zeros(self.exemplars))
        return dist.MixtureSameFamily(weights, normal.to_event(len(self.event_shape)))
