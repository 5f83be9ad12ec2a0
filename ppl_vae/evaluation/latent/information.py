r"""What the codes tell of the data, and how far their law is from the prior.

Averaged over the data, the divergence that the ELBO pays falls into two parts,

.. math:: \mathbb{E}_x [\mathrm{KL}(q(z \mid x) \| p(z))]
    = I_q(x; z) + \mathrm{KL}(q(z) \| p(z)), \qquad q(z) = \mathbb{E}_x [q(z \mid x)]

the information that a code holds of its datum, and the distance of the aggregate posterior from the
prior. Of :math:`n` data, with the mixture :math:`q_n(z) = \frac{1}{n} \sum_j q(z \mid x_j)`,

.. math:: \hat{I}_\text{in} = \frac{1}{n} \sum_i \mathbb{E}_{q(z \mid x_i)} \Big[ \log
    \frac{q(z \mid x_i)}{\frac{1}{n} \sum_j q(z \mid x_j)} \Big] \qquad
    \hat{I}_\text{out} = \frac{1}{n} \sum_i \mathbb{E}_{q(z \mid x_i)} \Big[ \log
    \frac{q(z \mid x_i)}{\frac{1}{n - 1} \sum_{j \neq i} q(z \mid x_j)} \Big]

For these data themselves, taken for all there are, the first is free of bias: it is the information
of the code about *which* of the :math:`n` it stands for, at most :math:`\log n`. For the law that
the data were drawn from, the first is a lower bound on average (the datum in its own mixture makes
it the bound of contrastive estimation with the best critic), and the second an upper one (Jensen:
the mixture of the others has the mean :math:`q(z)`, its logarithm has less). Since both terms add
up to the divergence, the bounds of :math:`\mathrm{KL}(q(z) \| p(z))` change sides: the first gives
an upper one, the second a lower one.

To first order, a term :math:`\mathrm{KL}(q(z \mid x_i) \| q(z))` is also how much the datum moves
the whole: what it changes in the mixture cancels. So the spread of the terms over the data gives
the standard error; where the codes of data hardly overlap, so that the bounds are far apart, that
of the upper bound is too small.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Bracket", "Information", "surgery"]


@dataclass(frozen=True)
class Bracket:
    r"""A lower and an upper bound on average, with their standard errors, in nats per datum."""

    lower: float
    r"""The lower bound."""
    lower_error: float
    r"""Its standard error over the data and draws."""
    upper: float
    r"""The upper bound."""
    upper_error: float
    r"""Its standard error."""

    def told(self) -> dict[str, float | None]:
        r"""The fields as plain values, None for those that are not finite."""
        return {k: v if math.isfinite(v) else None for k, v in vars(self).items()}


@dataclass(frozen=True)
class Information:
    r"""The terms of the divergence for each datum, each with shape ``(n,)``, in nats.

    References:
        | ELBO Surgery (Hoffman & Johnson, 2016)
        | http://approximateinference.org/accepted/HoffmanJohnson2016.pdf

        | On Variational Bounds of Mutual Information (Poole et al., 2019)
        | https://arxiv.org/abs/1905.06922
    """

    kl: Tensor
    r""":math:`\mathbb{E}[\log q(z \mid x) - \log p(z)]`, estimated from the same draws."""
    inclusive: Tensor
    r"""The terms of :math:`\hat{I}_\text{in}`."""
    exclusive: Tensor
    r"""The terms of :math:`\hat{I}_\text{out}`."""

    @property
    def ceiling(self) -> float:
        r""":math:`\log n`, above which :math:`n` data show no information."""
        return math.log(len(self.kl))

    @property
    def mutual(self) -> Bracket:
        r"""The mutual information :math:`I_q(x; z)`."""
        return Bracket(*_mean(self.inclusive), *_mean(self.exclusive))

    @property
    def marginal(self) -> Bracket:
        r"""The divergence :math:`\mathrm{KL}(q(z) \| p(z))`; its lower bound may be negative."""
        return Bracket(*_mean(self.kl - self.exclusive), *_mean(self.kl - self.inclusive))


def surgery(own: Tensor, rest: Tensor, prior: Tensor) -> Information:
    r"""Takes the divergence apart.

    Example:
        >>> own, rest = torch.zeros(2, 5), torch.full((2, 5), -1.0)
        >>> found = surgery(own, rest, torch.full((2, 5), -3.0))
        >>> round(found.mutual.upper, 3), round(found.marginal.lower, 3)
        (1.0, 2.0)

    Arguments:
        own: :math:`\log q(z \mid x_i)` of draws for datum :math:`i`, with shape ``(S, n)``.
        rest: :math:`\log \frac{1}{n - 1} \sum_{j \neq i} q(z \mid x_j)`, with the same shape.
        prior: :math:`\log p(z)`, with the same shape.
    """
    n = own.shape[1]
    own, rest, prior = own.double(), rest.double(), prior.double()
    whole = torch.logaddexp(own - math.log(n), rest + math.log1p(-1 / n))
    return Information(
        kl=(own - prior).mean(0), inclusive=(own - whole).mean(0), exclusive=(own - rest).mean(0)
    )


def _mean(x: Tensor) -> tuple[float, float]:
    return x.mean().item(), x.std().item() / len(x) ** 0.5
