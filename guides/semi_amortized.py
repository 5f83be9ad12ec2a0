r"""The semi-amortized guide."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Self

import pyro
import torch
from pyro import poutine
from torch import Tensor

from ppl_vae.conditional import Conditional
from ppl_vae.families.second_order import second_order
from ppl_vae.families.temperature import held
from ppl_vae.program import Program
from ppl_vae.weights import Arguments, SiteError, log_joint

__all__ = ["SemiAmortized"]


class SemiAmortized(Program):
    r"""A posterior that a network proposes, and a few steps of gradient ascent refine.

    .. math::
        h_0 & = \mathrm{net}(x) \\
        h_{i + 1} & = h_i + \eta \, \mathrm{clip}_c \big( \nabla_{h} \mathcal{L}(x, h_i) \big) \\
        z & \sim q_{h_S}(z)

    where :math:`\mathcal{L}(x, h) = \mathbb{E}_{q_h(z)} [\log p(x, z) - \log q_h(z)]` is the ELBO
    of one datum under the model. Its gradient is estimated along the path of the draws: the
    density of the draws is held fixed in :math:`h`, which changes no mean and leaves no noise
    where :math:`q_h` is the exact posterior. Each run draws the noise of the refinement anew, so
    that :math:`q(z \mid x)` is itself random; given it, importance weights have mean
    :math:`p(x)` all the same. All particles of a datum share one refinement.

    The model is held, but its parameters are not those of the guide. Copy both together, or
    attach the copy of the guide to the copy of the model.

    Example:
        >>> import torch
        >>> from ppl_vae.families import Normal
        >>> from ppl_vae.models import Linear
        >>> from ppl_vae.networks import mlp
        >>> model = Linear(features=5, latent=2)
        >>> q = Conditional((5,), Normal((2,)), mlp())
        >>> guide = SemiAmortized(q, steps=3).attach(model)
        >>> guide(torch.zeros(7, 5)).shape
        torch.Size([7, 2])

    References:
        | Semi-Amortized Variational Autoencoders (Kim et al., 2018)
        | https://arxiv.org/abs/1802.02550

        | Iterative Amortized Inference (Marino et al., 2018)
        | https://arxiv.org/abs/1807.09356

        | Sticking the Landing (Roeder et al., 2017)
        | https://arxiv.org/abs/1703.09194

    Arguments:
        posterior: The conditional :math:`q(z \mid x)` that proposes :math:`h_0`.
        steps: The number :math:`S` of steps; none makes it the amortized guide.
        rate: The size :math:`\eta` of a step. Where the posterior has standard deviation
            :math:`s`, steps above :math:`2 s^2` overshoot.
        particles: The number of draws for each datum that estimate the gradient of a step.
        clip: The largest norm :math:`c` of the gradient of one datum, above which it is scaled
            down.
        through: Whether the gradient of an objective passes through the steps, to all orders (a
            Hessian-vector product for each step); else steps are taken for constants.

    Raises:
        ValueError: If the posterior is no conditional, or is not reparameterized; if an option is
            out of range; if the guide runs before :meth:`attach` gave it the model, or if that
            draws other latent sites than ``z``, or is refused by :func:`ppl_vae.log_joint`.
    """

    def __init__(
        self,
        posterior: Conditional,
        steps: int = 5,
        rate: float = 0.01,
        particles: int = 1,
        clip: float = 5.0,
        *,
        through: bool = True,
    ) -> None:
        super().__init__()
        _check_options(steps, rate, particles, clip)
        _check_posterior(posterior, twice=through and steps > 0)
        self.posterior = posterior
        self.steps = steps
        self.rate = rate
        self.particles = particles
        self.clip = clip
        self.through = through
        # A tuple keeps the model from becoming a child, and its parameters from being the guide's.
        self._model: tuple[Any, ...] = ()

    def attach(self, model: Any = None) -> Self:
        self._model = () if model is None else (model,)
        return self

    def forward(self, x: Tensor, **given: Any) -> Tensor:
        r"""
        Arguments:
            x: The data, with shape ``(n, *x_shape)``.
            given: What else the model is called with, such as labels.

        Returns:
            Draws of :math:`z`, with shape ``(n, *z_shape)``.
        """
        self.register()
        h = self.refined(x, **given)

        with pyro.plate("data", len(x), dim=-1):
            return pyro.sample("z", self.posterior.replace(h)(x))

    def refined(self, x: Tensor, **given: Any) -> Tensor:
        r"""Returns the parameters :math:`h_S`, with shape ``(n, *family.param_shape)``."""
        h = self.posterior.h(x)

        # Temperatures fall with the draw that these steps are for, and the model's with its own.
        with held(self.posterior, *self._model):
            for _ in range(self.steps):
                h = h + self.rate * self._clipped(self._gradient(h, x, given))

        return h

    def _gradient(self, h: Tensor, x: Tensor, given: Mapping[str, Any]) -> Tensor:
        through = self.through and torch.is_grad_enabled()

        # Objectives are evaluated without gradients; these steps need their own all the same.
        with torch.enable_grad(), poutine.block():
            h = h if through else h.detach()
            # The parameters that draws are a path of; those of the density stay behind.
            path = h.clone()
            path = path if path.requires_grad else path.requires_grad_()
            q, density = (self.posterior.replace(p)(x) for p in (path, h))
            draws = [q.rsample() for _ in range(self.particles)]
            bounds = [self._log_joint(z, x, given) - density.log_prob(z).sum() for z in draws]
            # Data are independent: the gradient of the sum is that of each of them.
            mean = torch.stack(bounds).mean()
            (gradient,) = torch.autograd.grad(mean, path, create_graph=through)

        return gradient

    def _log_joint(self, z: Tensor, x: Tensor, given: Mapping[str, Any]) -> Tensor:
        if not self._model:
            raise ValueError("SemiAmortized has no model yet; call guide.attach(model) first.")

        try:
            # Without the scale of a minibatch, which is not the business of one datum.
            terms = log_joint(self._model[0], Arguments((x,), given), {"z": z.unsqueeze(0)})
        except SiteError as error:
            raise ValueError(
                "SemiAmortized is for models of one latent site, 'z'; this one draws "
                f"{', '.join(map(repr, error.model_sites)) or 'none'}."
            ) from error

        return torch.stack(terms).sum()

    def _clipped(self, gradient: Tensor) -> Tensor:
        square = (gradient / self.clip).flatten(1).square().sum(1)
        factor = square.clamp(min=1).rsqrt()
        return gradient * factor.reshape(-1, *[1] * (gradient.ndim - 1))

    def extra_repr(self) -> str:
        return f"steps={self.steps}, rate={self.rate}, through={self.through}"


def _check_options(steps: int, rate: float, particles: int, clip: float) -> None:
    if steps < 0 or particles < 1:
        raise ValueError(
            "SemiAmortized needs no negative number of steps and one particle or more, got "
            f"steps={steps} and particles={particles}."
        )
    if not (0 < rate < math.inf and clip > 0):
        raise ValueError(
            f"SemiAmortized needs a positive rate and clip, got rate={rate} and clip={clip}."
        )


def _check_posterior(posterior: Conditional, *, twice: bool) -> None:
    if not isinstance(posterior, Conditional):
        raise ValueError(
            "SemiAmortized refines the parameters of one Conditional of the data, got "
            f"{type(posterior).__name__}; use another guide."
        )

    family = posterior.family
    with torch.no_grad(), held(posterior):
        q = family(torch.zeros(family.param_shape))

    if not q.has_rsample:
        raise ValueError(
            "SemiAmortized follows gradients through draws, which those of "
            f"{type(family).__name__} do not pass; take a reparameterized posterior."
        )
    if twice and not second_order(family):
        raise ValueError(
            "SemiAmortized differentiates its steps once more, and the draws of "
            f"{type(family).__name__} have no second derivative; give through=False."
        )
