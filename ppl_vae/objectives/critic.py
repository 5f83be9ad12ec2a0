r"""Critics: networks that tell two samples apart, and so estimate the ratio of two densities.

Trained to tell draws of :math:`q` from draws of :math:`p` by the logistic loss

.. math:: \mathbb{E}_q \big[ \log (1 + e^{-T}) \big] + \mathbb{E}_p \big[ \log (1 + e^T) \big]

a network of enough freedom has the logit :math:`T^* = \log q - \log p`, and
:math:`\mathbb{E}_q[T^*] = \mathrm{KL}(q \| p)`. The estimate :math:`\mathbb{E}_q[T]` is neither
bound nor unbiased: it is as good as the network, and as far as its training has come.

References:
    | Density Ratio Estimation in Machine Learning (Sugiyama et al., 2012)
    | https://doi.org/10.1017/CBO9781139035613
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.functional import softplus

__all__ = ["Critic", "accuracy", "hidden_layers", "logistic"]


class Critic(nn.Module):
    r"""A multi-layer perceptron from vectors to a logit.

    Its layers are sized, and drawn, with the first batch: the seed of a training is set by then.

    Example:
        >>> import torch
        >>> Critic([16])(torch.zeros(3, 5, 2)).shape
        torch.Size([3, 5])

    Arguments:
        hidden: The widths of the hidden layers; none makes the logit affine.

    Raises:
        ValueError: If a width is not positive.
    """

    def __init__(self, hidden: Sequence[int]) -> None:
        super().__init__()

        if any(width < 1 for width in hidden):
            raise ValueError(f"The hidden layers of a critic need positive sizes, got {hidden}.")

        self.net = hidden_layers(hidden)
        self.head = nn.LazyLinear(1)

    @property
    def sized(self) -> bool:
        r"""Whether it has seen its first batch."""
        return not nn.parameter.is_lazy(self.head.weight)

    def forward(self, u: Tensor) -> Tensor:
        r"""
        Arguments:
            u: Vectors, with shape ``(*, d)``.

        Returns:
            The logits, with shape ``(*)``.
        """
        if not self.sized:
            self.to(u.device)  # once sized, layers stay where they are

        logit: Tensor = self.head(self.net(u.to(self.head.bias.dtype))).squeeze(-1)
        # Under autocast networks compute in bfloat16; losses need more.
        return logit.to(u.dtype)


def hidden_layers(hidden: Sequence[int]) -> nn.Sequential:
    r"""The hidden layers of a perceptron, which are sized, and drawn, with the first batch."""
    return nn.Sequential(*(part for n in hidden for part in (nn.LazyLinear(n), nn.SiLU())))


def logistic(q: Tensor, p: Tensor) -> Tensor:
    r"""The loss of a critic, summed over the data: its mean over particles.

    Arguments:
        q: The logits of draws of :math:`q`, which are to be high, with shape ``(K, n)``.
        p: Those of draws of :math:`p`, which are to be low, with shape ``(J, n)``.
    """
    return softplus(-q).mean(0).sum() + softplus(p).mean(0).sum()


def accuracy(q: Tensor, p: Tensor) -> Tensor:
    r"""The share of draws that a critic tells right: one half where the laws are the same."""
    return ((q > 0).to(q).mean() + (p < 0).to(p).mean()) / 2
