r"""The chi upper bound."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..weights import Program, Weights
from .base import Objective
from .copies import draw_copies
from .renyi import renyi
from .role import Estimate
from .schedule import Schedule
from .terms import with_gradient

__all__ = ["CUBO"]


class CUBO(Objective):
    r"""The chi upper bound, which the guide lowers, while the model raises a lower bound.

    .. math::
        \mathcal{U}_m(x) & = \frac{1}{m} \log \mathbb{E}_{q(z \mid x)} \big[ w^m \big]
            \geq \log p(x) \qquad w = \frac{p(x, z)}{q(z \mid x)} \\
        \hat{\mathcal{U}}_m(x) & = \frac{1}{m} \log \frac{1}{K} \sum_{k=1}^K w_k^m

    The estimate is biased downwards: it rises with :math:`K` to :math:`\mathcal{U}_m`, from the
    ELBO at :math:`K = 1`, and is an upper bound only as :math:`K` grows. Lowering it makes guides
    wide that cover the posterior, by the divergence :math:`\chi^m(p(z \mid x) \| q(z \mid x))`.
    Lowering it in the model would lower the evidence: the model follows the gradient of
    :class:`IWAE` of the same draws. All sites must be reparameterized.

    A guide that leaves the posterior altogether has no draw left that tells of it: the estimate
    then falls without bound, whatever :math:`K`, and training diverges. Start from a guide that
    another objective has trained, in few dimensions; from a start at random, in eight, it fails.

    Example:
        >>> from ppl_vae.guides import Amortized
        >>> from ppl_vae.models import Linear
        >>> model = Linear(features=5, latent=2)
        >>> CUBO(particles=8).loss(model, Amortized(model.posterior), model(n=10)).shape
        torch.Size([])

    References:
        | Variational Inference via chi Upper Bound Minimization (Dieng et al., 2017)
        | https://arxiv.org/abs/1611.00328

    Arguments:
        particles: The number :math:`K` of draws for each datum.
        order: The order :math:`m`, above one.
        kl_weight: As in :class:`~ppl_vae.objectives.Objective`.
        vectorized: As in :class:`~ppl_vae.objectives.Objective`.
        max_plate_nesting: As in :class:`~ppl_vae.objectives.Objective`.

    Raises:
        ValueError: If the order is not above one, a site is not reparameterized, or lies outside
            of the plate of the data.
    """

    bound = "upper, as the number of particles grows"
    judged_by = "last"
    reparameterized = True

    def __init__(
        self,
        particles: int = 8,
        order: float = 2.0,
        kl_weight: float | Schedule = 1.0,
        vectorized: bool = True,
        max_plate_nesting: int | None = None,
    ) -> None:
        super().__init__(particles, kl_weight, vectorized, max_plate_nesting)

        if not 1 < order < float("inf"):
            raise ValueError(f"The order of CUBO lies above 1, got {order}.")

        self.order = order

    def estimate(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> Estimate:
        drawn = draw_copies(self, model, guide, *args, leaves=True, **kwargs)
        w = drawn.weights
        joint = w.likelihood + self.beta * w.prior
        log_w = joint - self.beta * w.guide
        f = log_w.detach()
        value = renyi(f, 1 - self.order)
        raised, lowered = f.softmax(0), (self.order * f).softmax(0)
        # The model rises; the guide falls, by its density at given draws and along their path.
        surrogate = -(raised * joint).sum() - (lowered * self.beta * w.guide).sum()
        surrogate = surrogate + drawn.path((lowered * log_w).sum())
        loss = w.scale * with_gradient(value.sum(), surrogate)
        return Estimate(loss, self.metrics_of(w), w.n * w.scale)

    def loss_of(self, weights: Weights) -> Tensor:
        raise NotImplementedError("Its gradient needs the programs: the weights do not tell it.")

    def extra_repr(self) -> str:
        return f"order={self.order}, {super().extra_repr()}"
