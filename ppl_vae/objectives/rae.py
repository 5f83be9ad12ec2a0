r"""The regularized auto-encoder."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from pyro import poutine
from torch import Tensor

from ..modules import preserving
from ..weights import Program, Site, Weights
from ..weights.checks import kind_name
from .aggregate import check_plain
from .base import Objective
from .jacobian_penalty import JacobianPenalty
from .likelihood_parameters import LikelihoodParameters
from .role import Estimate

__all__ = ["RAE"]

REGULARIZERS = ("gradient", "l2", "none")


class RAE(Objective):
    r"""A deterministic auto-encoder, the decoder of which is smooth by a penalty, not by noise.

    .. math::
        \text{loss} & = - \log p(x \mid z) - \beta \log p(z) + \lambda R \qquad z = z(x) \\
        R_\mathrm{gradient} & = \frac{1}{2} \Big\| \frac{\partial \, \mathbb{E}[x \mid z]}
            {\partial z} \Big\|_F^2 \qquad R_\mathrm{l2} = \frac{1}{2} \| \theta \|^2

    per datum: what is left of the negative ELBO of a posterior of vanishing noise, but for its
    entropy. Under a standard normal prior :math:`- \log p(z)` is :math:`\frac{1}{2} \|z\|^2
    + \frac{d}{2} \log 2 \pi`, and keeps codes from growing without bound; the penalty keeps them
    from shrinking to none. Take a prior that is not learned: a learned one would close in on the
    codes of the data, and its density has no bound there.

    The gradient penalty is estimated without bias, by one random projection of the mean: the
    square of :math:`v^\top \partial \mathbb{E}[x \mid z] / \partial z` for signs :math:`v`. It
    asks for a likelihood with a mean, and for networks that are differentiable twice. That of
    l2 is over all parameters that :math:`\log p(x \mid z)` depends on at given codes, biases, a
    shared scale and frozen ones too: those of the decoder, not of the prior or the guide. For
    spectral normalization, the third penalty of the paper, take the network ``spectral`` and the
    regularizer ``"none"``.

    The guide draws points: the posterior Delta. There are no weights and no :math:`\log p(x)`, and
    it bounds nothing. Nothing makes codes look like the prior, so the paper samples from a
    mixture fitted to them after training: ``ppl-vae fit-prior DIR --prior GaussianMixture --out
    NEW``. Several latent sites are several parts of the code. Metrics are the ``reconstruction``
    :math:`\log p(x \mid z)`, the ``code`` :math:`- \log p(z)` and the ``penalty`` :math:`R`.

    Example:
        >>> from ppl_vae.conditional import Conditional
        >>> from ppl_vae.families import Delta
        >>> from ppl_vae.guides import Amortized
        >>> from ppl_vae.models import Linear
        >>> from ppl_vae.networks import mlp
        >>> model = Linear(features=5, latent=2)
        >>> guide = Amortized(Conditional((5,), Delta((2,)), mlp([8])))
        >>> RAE(weight=0.1).loss(model, guide, model(n=10).detach()).shape
        torch.Size([])

    References:
        | From Variational to Deterministic Autoencoders (Ghosh et al., 2020)
        | https://arxiv.org/abs/1903.12436

    Arguments:
        code_weight: The weight :math:`\beta`.
        regularizer: The penalty :math:`R`: ``"gradient"``, ``"l2"`` or ``"none"``.
        weight: The weight :math:`\lambda`. The gradient penalty goes with the square of the scale
            of the data.

    Raises:
        ValueError: If the regularizer is unknown, a weight is negative, the guide draws a site
            that has a density or noise, a site is masked, or lies outside of the plate of the
            data or in one within it, the likelihood has no mean or an observed site is masked
            for the gradient penalty, or there are no parameters for l2.
    """

    bound = "none"
    judged_by = "loss"
    reparameterized = True
    weighted = False
    implicit = True

    def __init__(
        self, code_weight: float = 0.1, regularizer: str = "gradient", weight: float = 0.01
    ) -> None:
        super().__init__()

        if regularizer not in REGULARIZERS:
            raise ValueError(
                f"The regularizer of RAE is one of {', '.join(REGULARIZERS)}, got {regularizer!r}."
            )
        if min(code_weight, weight) < 0:
            raise ValueError(
                "The weights of RAE must not be negative, got "
                f"code_weight={code_weight} and weight={weight}."
            )

        self.code_weight = code_weight
        self.regularizer = regularizer
        self.weight = weight
        self._decoder = LikelihoodParameters()

    def estimate(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> Estimate:
        weights, penalty = self._drawn(model, guide, *args, **kwargs)
        loss = self.weight * penalty - (weights.likelihood + self.code_weight * weights.prior).sum()
        loss = loss if torch.is_grad_enabled() else loss.detach()
        terms = {"code": -weights.prior.mean(), "penalty": penalty / weights.n}
        metrics = self.metrics_of(weights) | {name: t.detach() for name, t in terms.items()}
        return Estimate(weights.scale * loss, metrics, weights.n * weights.scale)

    def _drawn(self, *programs: Any, **kwargs: Any) -> tuple[Weights, Tensor]:
        # The weights, and the penalty summed over the batch.
        if self.regularizer != "gradient":
            weights = _checked(self.weights(*programs, **kwargs))
            if self.regularizer == "none":
                return weights, weights.likelihood.new_zeros(())
            return weights, weights.n * self._squares(*programs, **kwargs) / 2

        training = torch.is_grad_enabled()
        # The penalty is of a gradient itself.
        with torch.enable_grad():
            with JacobianPenalty("RAE") as jacobian:
                weights = _checked(self.weights(*programs, **kwargs))
            return weights, jacobian.penalty(weights, differentiable=training)

    def _squares(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> Tensor:
        if not self._decoder.of(model):
            # Once for a model, and before anything is captured.
            with preserving(model, guide), torch.enable_grad(), poutine.block():
                draw = partial(self.weights, model, guide, *args, detached=True, **kwargs)
                self._decoder = LikelihoodParameters(model, lambda: draw().likelihood.sum())

        found = self._decoder.now()
        if not found:
            raise ValueError(
                "The regularizer l2 of RAE is of the parameters of the likelihood, and the model "
                "is no module with any; take the regularizer gradient, or none."
            )

        return torch.stack([p.square().sum() for p in found]).sum()

    def loss_of(self, weights: Weights) -> Tensor:
        raise NotImplementedError("Its penalty needs the programs: the weights do not tell it.")

    def extra_repr(self) -> str:
        options = f"code_weight={self.code_weight}, regularizer={self.regularizer!r}"
        return f"{options}, weight={self.weight}"


def _checked(weights: Weights) -> Weights:
    weights.check_local()

    for name, site in weights.sites.items():
        if not _is_point(site):
            raise ValueError(
                f"RAE takes codes without noise or density, and the guide draws site {name!r} from "
                f"{kind_name(site.q)}; take the posterior Delta, --posterior Delta."
            )
        check_plain("RAE", name, site)

    return weights


def _is_point(site: Site) -> bool:
    law = site.q

    while hasattr(law, "base_dist"):
        law = law.base_dist
    # A law of `distributions.Implicit` that pushes no noise; what is marked implicit may be noise.
    return getattr(law, "push", law) is None
