r"""Adversarial variational Bayes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from pyro.infer.util import is_validation_enabled
from torch import Tensor
from torch.distributions import Normal

from ..weights import Weights
from ..weights.supports import kind_of
from .adversarial import Adversarial, Pair
from .codes import codes_of, joined
from .rows import rows_of
from .schedule import Schedule
from .terms import with_gradient

__all__ = ["AVB"]


class AVB(Adversarial):
    r"""The ELBO of a guide without a density, the divergence of which a critic estimates.

    .. math::
        \text{prior:} \quad & - \log p(x \mid z) + T(x, z)
            \qquad T^*(x, z) = \log \frac{q(z \mid x)}{p(z)} \\
        \text{adaptive:} \quad & - \log p(x \mid z) - \log p(z) + \log r(z \mid x) + T(x, u)
            \qquad T^*(x, u) = \log \frac{q(z \mid x)}{r(z \mid x)}

    per datum, in the mean over :math:`z \sim q(z \mid x)`. The critic :math:`T` is trained to tell
    :math:`(x, z)` from :math:`(x, y)` with :math:`y \sim p(z)`. With the adaptive contrast
    :math:`r(z \mid x) = \mathcal{N}(z \mid \mu_x, \operatorname{diag} \sigma_x^2)` has the moments
    of the guide's draws for that datum, so that it is left what is not normal about them: it tells
    :math:`u = (z - \mu_x) / \sigma_x` from standard normal draws. That is the easier task by far,
    where posteriors are much narrower than the prior; it takes codes that are real vectors.

    The value is an estimate of the negative ELBO, and a bound, in the mean, only where the critic
    is optimal: one that lags behind the guide tells too small a divergence, so that the value lies
    below :math:`- \log p(x)` easily. Moments of :math:`M` draws hide a further :math:`D / M` nats
    of it or so, for :math:`D` elements of a code: of a normal posterior a constant. Gradients flow
    through the moments, without which posteriors would become too narrow by a share of
    :math:`1 / M`. Evidence needs a guide with a density.

    The guide follows the path of its draws through :math:`T`; its own score has the mean zero
    where the critic is optimal. The prior gets the gradient of :math:`-\log p(z)`: with the prior's
    contrast at draws that are held fixed, since the path through them is the critic's. The code of
    a datum is that of all its latent sites together; of the data, the critic sees the rows of the
    batch as vectors, on the scale of the inverse hyperbolic sine. All sites must be
    reparameterized. Trained by :class:`ppl_vae.svi.SVI` alone.

    Example:
        >>> from ppl_vae.conditional import Conditional
        >>> from ppl_vae.families import Implicit
        >>> from ppl_vae.guides import Amortized
        >>> from ppl_vae.models import Linear
        >>> from ppl_vae.networks import mlp
        >>> model = Linear(features=5, latent=2)
        >>> guide = Amortized(Conditional((5,), Implicit((2,)), mlp([8])))
        >>> AVB().loss(model, guide, model(n=10)).shape
        torch.Size([])

    References:
        | Adversarial Variational Bayes: Unifying Variational Autoencoders and Generative
        | Adversarial Networks (Mescheder et al., 2017)
        | https://arxiv.org/abs/1701.04722

    Arguments:
        hidden: The widths of the critic's hidden layers.
        contrast: What the critic compares the guide with: the ``"prior"``, or ``"adaptive"``.
        particles: As in :class:`~ppl_vae.objectives.Objective`.
        moments: The number :math:`M` of draws for the moments of the adaptive contrast.
        kl_weight: As in :class:`~ppl_vae.objectives.Objective`.
        vectorized: As in :class:`~ppl_vae.objectives.Objective`.
        max_plate_nesting: As in :class:`~ppl_vae.objectives.Objective`.

    Raises:
        ValueError: If there is no such contrast, moments have less than two draws, the posterior
            is a point, a site lies on a surface where the contrast is adaptive, and as
            :class:`~ppl_vae.objectives.adversarial.Adversarial`.
    """

    implicit = True
    weighted = True

    def __init__(
        self,
        hidden: Sequence[int] = (256, 256),
        contrast: Literal["prior", "adaptive"] = "adaptive",
        particles: int = 1,
        moments: int = 32,
        kl_weight: float | Schedule = 1.0,
        vectorized: bool = True,
        max_plate_nesting: int | None = None,
    ) -> None:
        super().__init__(hidden, particles, kl_weight, vectorized, max_plate_nesting)

        if contrast not in ("prior", "adaptive"):
            raise ValueError(f"The contrast of AVB is 'prior' or 'adaptive', got {contrast!r}.")
        if moments < 2:
            raise ValueError(f"The moments of AVB need two draws or more, got {moments}.")

        self.contrast = contrast
        self.moments = moments

    def penalty_of(self, weights: Weights, pair: Pair) -> Tensor:
        self._check(weights)
        z = codes_of(weights)

        if self.contrast == "prior":
            ratio = self.critic(_beside(z, pair))
            # The path through log p(z) is the critic's: what is left is the prior's own.
            ratio = with_gradient(ratio, ratio - self.held_prior(weights, pair))
        else:
            loc, scale = _moments(joined(self.guide_codes(pair, self.moments)))
            log_r = Normal(loc, scale, validate_args=False).log_prob(z).sum(-1)
            ratio = self.critic(_beside((z - loc) / scale, pair)) + log_r - weights.prior

        return self.beta * ratio.mean(0).sum()

    def samples_of(self, pair: Pair) -> tuple[Tensor, Tensor]:
        if self.contrast == "prior":
            codes = self.guide_codes(pair, self.particles)
            z, y = joined(codes), joined(self.prior_codes(pair, codes))
        else:
            drawn = joined(self.guide_codes(pair, self.moments + self.particles))
            # Of other draws: those that moments are made of lie closer to them.
            loc, scale = _moments(drawn[: self.moments])
            z = (drawn[self.moments :] - loc) / scale
            y = torch.randn_like(z)

        return _beside(z, pair), _beside(y, pair)

    def _check(self, weights: Weights) -> None:
        if not is_validation_enabled():
            return

        for name, site in weights.sites.items():
            if _is_point(site.q):
                raise ValueError(
                    f"The posterior of site {name!r} is a point, whose divergence from a prior is "
                    "infinite; take one of noise, such as Implicit, or the objective AAE or WAE."
                )
            if self.contrast == "adaptive" and kind_of(site.p, site.value) == "surface":
                raise ValueError(
                    f"Site {name!r} lies on a surface, such as a sphere or a simplex, where the "
                    "normal law of the adaptive contrast has no density; take contrast='prior'."
                )

    def extra_repr(self) -> str:
        return f"contrast={self.contrast}, {super().extra_repr()}, kl_weight={self.kl_weight}"


def _moments(z: Tensor) -> tuple[Tensor, Tensor]:
    return z.mean(0), z.var(0).add(1e-12).sqrt()


def _beside(z: Tensor, pair: Pair) -> Tensor:
    x = rows_of(pair.batch, z)
    return torch.cat([x.expand(len(z), *x.shape), z], -1)


def _is_point(law: Any) -> bool:
    try:
        return bool((law.variance == 0).all())
    except (AttributeError, NotImplementedError):
        return False
