r"""The evidence lower bound, with discrete sites summed out."""

from __future__ import annotations

from typing import Any

import torch
from pyro.infer import TraceEnum_ELBO, config_enumerate
from torch import Tensor

from ..modules import preserving
from ..weights import Arguments, Program, Weights, distributions, log_weights
from .bare import bare
from .base import Objective
from .role import Estimate
from .terms import elbo_terms

__all__ = ["EnumELBO"]


class EnumELBO(Objective):
    r"""The evidence lower bound, with the discrete sites of the guide summed out exactly.

    .. math:: \mathcal{L}(x) = \sum_z q(z \mid x) \big[ \log p(x, z) - \log q(z \mid x) \big]
        \leq \log p(x)

    A lower bound of :math:`\log p(x)`, that of :class:`ELBO`; its value and its gradient have no
    variance from discrete sites. Sites that are continuous are drawn, and have to be
    reparameterized. The model is run at all values of each discrete site, which is feasible for a
    categorical variable, not for a vector of binary ones. Arithmetic and dependencies are those of
    :class:`pyro.infer.TraceEnum_ELBO`.

    Example:
        >>> import torch
        >>> from ppl_vae.conditional import Conditional
        >>> from ppl_vae.families import Normal, OneHot
        >>> from ppl_vae.guides import Amortized
        >>> from ppl_vae.models import VAE
        >>> from ppl_vae.networks import mlp
        >>> from ppl_vae.priors import OneHot as Prior
        >>> model = VAE(Prior((3,)), Conditional((3,), Normal((5,)), mlp([8])))
        >>> guide = Amortized(Conditional((5,), OneHot((3,)), mlp([8])))
        >>> x = torch.randn(10, 5)
        >>> bool(EnumELBO().loss(model, guide, x) == EnumELBO().loss(model, guide, x))
        True

    References:
        | Tensor Variable Elimination for Plated Factor Graphs (Obermeyer et al., 2019)
        | https://arxiv.org/abs/1902.03210

    Arguments: those of :class:`~ppl_vae.objectives.Objective`, but for the weight of the KL term.

    Raises:
        ValueError: If the guide draws no discrete site, or one that is a vector of several.
    """

    bound = "lower"
    weighted = False

    def __init__(
        self, particles: int = 1, vectorized: bool = True, max_plate_nesting: int | None = None
    ) -> None:
        super().__init__(particles, 1.0, vectorized, max_plate_nesting)

    def estimate(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> Estimate:
        batch = Arguments(args, kwargs)
        elbo = TraceEnum_ELBO(
            num_particles=self.particles,
            vectorize_particles=self.vectorized,
            max_plate_nesting=self.depth_of(model, guide, batch),
            strict_enumeration_warning=False,
        )
        with preserving(model, guide), torch.no_grad():
            # One draw tells the terms, and how many data the sum is over.
            weights = log_weights(model, guide, batch)
        # Pyro's differentiable loss has to have a gradient; its loss is a number.
        run = elbo.differentiable_loss if torch.is_grad_enabled() else elbo.loss
        loss = torch.as_tensor(run(bare(model), config_enumerate(bare(guide)), *args, **kwargs))
        size = weights.n * weights.scale
        return Estimate(loss, {**elbo_terms(weights), "elbo": -loss.detach() / size}, size)

    def check(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> None:
        super().check(model, guide, *args, **kwargs)
        laws = distributions(guide, Arguments(args, kwargs))
        discrete = {name: q for name, (q, _, _) in laws.items() if not q.has_rsample}

        if not discrete:
            raise ValueError(
                "EnumELBO sums out discrete sites, and the guide draws none; use ELBO."
            )
        for name, q in discrete.items():
            if not q.has_enumerate_support:
                raise ValueError(
                    f"EnumELBO cannot sum over the values of site {name!r}, from "
                    f"{type(q).__name__}: those of a vector of independent elements, or infinitely "
                    "many. Take the posterior OneHot and a prior to match, or use VIMCO."
                )

    def loss_of(self, weights: Weights) -> Tensor:
        raise NotImplementedError("It enumerates the sites of programs; weights are of draws.")
