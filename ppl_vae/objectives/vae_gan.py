r"""The auto-encoder with a learned similarity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from ..weights import Arguments, Program, Weights
from .discriminator import Discriminator
from .divergences import divergences
from .game import Game
from .means import check_unmasked, means_of, prior_laws
from .role import Estimate, Role

__all__ = ["VAEGAN"]

Data = Mapping[str, Tensor]


class VAEGAN(Game):
    r"""A variational auto-encoder that reconstructs what a discriminator sees of the data.

    .. math::
        \tilde{x} & = \mathbb{E}[x \mid z], \; z \sim q(z \mid x) \qquad
            x_p = \mathbb{E}[x \mid z], \; z \sim p(z) \\
        S & = \frac{1}{2 \sigma^2} \| f(x) - f(\tilde{x}) \|^2 \\
        G & = - \log D(x) - \log (1 - D(\tilde{x})) - \log (1 - D(x_p)) \\
        \text{guide:} \quad & \mathrm{KL}(q(z \mid x) \| p(z)) + S \\
        \text{model:} \quad & \mathrm{KL}(q(z \mid x) \| p(z)) + \gamma S - G \\
        \text{discriminator:} \quad & G

    per datum. Three players step in turn, each with an optimizer of its own, on draws of their
    own. The features :math:`f` are a hidden layer of the discriminator :math:`D`, so that
    :math:`S` is :math:`- \log \mathcal{N}(f(x) \mid f(\tilde{x}), \sigma^2 I)` but for a constant;
    it trains no discriminator, and :math:`G` no guide. The divergence alone moves what the prior
    has of parameters: its draws are held fixed in :math:`G`. The discriminator sees data in units
    of their root mean square over the first batch, which are kept. It compares them with means of
    the likelihood, and tells grey from binary at a glance: data should be pictures, or counts of a
    wide range.

    The metrics tell the true ELBO and its terms, but the likelihood is not trained as a density:
    its mean alone is, and :math:`\log p(x)` says little. Besides there are ``similarity``,
    :math:`-S`, and of the discriminator ``discriminator_loss`` and ``discriminator_accuracy``, one
    half where it cannot tell data from means. It bounds nothing. All sites must be
    reparameterized; the guide needs a density.

    Only :class:`ppl_vae.svi.SVI` trains it.

    Example:
        >>> from ppl_vae.guides import Amortized
        >>> from ppl_vae.models import Linear
        >>> model = Linear(features=5, latent=2)
        >>> VAEGAN().loss(model, Amortized(model.posterior), model(n=10).detach()).shape
        torch.Size([])

    References:
        | Autoencoding beyond Pixels using a Learned Similarity Metric (Larsen et al., 2016)
        | https://arxiv.org/abs/1512.09300

    Arguments:
        gamma: The weight :math:`\gamma` of the similarity for the model.
        scale: The standard deviation :math:`\sigma` of features. It is one in the paper, of
            thousands of normalized features; the fewer and the smaller they are, the less it has
            to be for the similarity to outweigh the divergence.
        hidden: The widths of the discriminator's hidden layers; it is a perceptron of the
            flattened data.
        layer: Which of them tells the features, from one.
        features: A module from data of one site, with shape ``(n, *x_shape)``, to features, in
            the place of the first layers, such as ``conv()(x_shape, (128,))``; for Python.

    Raises:
        ValueError: If ``gamma`` is negative, the scale is not positive, there is no such layer, a
            site is not reparameterized, is masked, or lies outside of the plate of the data or in
            one within it, an observed site is masked, the likelihood has no mean, or the model
            takes no number ``n`` of data to draw.
    """

    def __init__(
        self,
        gamma: float = 1.0,
        scale: float = 0.2,
        hidden: Sequence[int] = (256, 256),
        layer: int = 1,
        features: nn.Module | None = None,
    ) -> None:
        super().__init__()

        if gamma < 0 or not scale > 0:
            raise ValueError(
                "VAEGAN takes a gamma that is not negative and a positive scale, got "
                f"gamma={gamma} and scale={scale}."
            )

        self.gamma = gamma
        self.scale = scale
        self.discriminator = Discriminator(hidden, layer, features)

    def players(self) -> list[Role]:
        return [
            Role("guide", ("guide",), self.estimate),
            Role("model", ("model",), self.generate),
            Role("discriminator", ("objective",), self.discriminate),
        ]

    def estimate(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> Estimate:
        weights, x, made = self._drawn(model, guide, *args, **kwargs)
        distance = self._distance(self.discriminator(x)[0], self.discriminator(made)[0])
        told = self.metrics_of(weights) | {"similarity": -distance.detach() / weights.n}
        return _estimate(weights, _kl(weights) + distance, told)

    def check(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> None:
        super().check(model, guide, *args, **kwargs)
        weights = self._drawn(model, guide, *args, **kwargs)[0]
        self._imagined(model, Arguments(args, kwargs), weights)

    def generate(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> Estimate:
        r"""The loss of the model."""
        weights, x, made = self._drawn(model, guide, *args, **kwargs)
        drawn = self._imagined(model, Arguments(args, kwargs), weights)
        (real, _), (fake, found) = self.discriminator(x), self.discriminator(made)
        caught = softplus(found).sum() + softplus(self.discriminator(drawn)[1]).sum()
        loss = _kl(weights) + self.gamma * self._distance(real, fake) - caught
        return _estimate(weights, loss, {})

    def discriminate(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> Estimate:
        r"""The loss of the discriminator."""
        with torch.no_grad():
            weights, x, made = self._drawn(model, guide, *args, **kwargs)
            drawn = self._imagined(model, Arguments(args, kwargs), weights)

        real, fake, dreamt = (self.discriminator(part)[1] for part in (x, made, drawn))
        # D is the sigmoid of the logit.
        loss = softplus(-real).sum() + softplus(fake).sum() + softplus(dreamt).sum()
        hits = [(real > 0).to(real), (fake < 0).to(real), (dreamt < 0).to(real)]
        accuracy = (2 * hits[0] + hits[1] + hits[2]).mean() / 4
        return _estimate(weights, loss, {"accuracy": accuracy})

    def _drawn(self, *programs: Any, **kwargs: Any) -> tuple[Weights, Data, Data]:
        # The weights, the data, and the means in their place.
        weights = self.codes(*programs, **kwargs)
        check_unmasked("VAEGAN", weights)
        self._check_rows(weights)
        means = means_of("VAEGAN", {name: site.law for name, site in weights.observed.items()})
        return weights, _seen(weights, {}), _seen(weights, means)

    def _imagined(self, model: Program, batch: Arguments, weights: Weights) -> Data:
        laws = prior_laws("VAEGAN", model, batch, weights.n, list(weights.observed))
        return _seen(weights, means_of("VAEGAN", laws))

    def _distance(self, real: Tensor, fake: Tensor) -> Tensor:
        return (real - fake).square().sum() / (2 * self.scale**2)

    def _check_rows(self, weights: Weights) -> None:
        for name, site in weights.observed.items():
            shape = tuple(site.law.batch_shape)
            if shape != (weights.n,):
                raise ValueError(
                    f"VAEGAN takes one row for each datum, and the batch of site {name!r} has "
                    f"shape {shape}; turn inner plates into the event, or take ELBO."
                )
        if self.discriminator.given is not None and len(weights.observed) > 1:
            raise ValueError(
                f"The features given to VAEGAN are of one site, and {sorted(weights.observed)} are "
                "observed; leave them out, or take a model of one observed site."
            )

    def extra_repr(self) -> str:
        return f"gamma={self.gamma}, scale={self.scale}"


def _estimate(weights: Weights, loss: Tensor, metrics: dict[str, Tensor]) -> Estimate:
    return Estimate(weights.scale * loss, metrics, weights.n * weights.scale)


def _kl(weights: Weights) -> Tensor:
    return torch.stack([kl.sum() for kl in divergences(weights).values()]).sum()


def _seen(weights: Weights, made: Data) -> Data:
    # The data, or what is made in their place, without what is missing in the data.
    seen = {}

    for name, (law, x, _) in weights.observed.items():
        t = made.get(name, x)
        t = t if t.is_floating_point() else t.to(torch.get_default_dtype())
        seen[name] = torch.where(x.isnan(), 0.0, t.expand(law.batch_shape + law.event_shape))

    return seen
