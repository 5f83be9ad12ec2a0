r"""Invertible maps in layers, whose parameters may differ from datum to datum."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["SLOPE", "Layer", "Layers", "log1p_sech2"]

SLOPE = 1e-3
r"""The smallest slope of a layer in any direction, so that every layer has an inverse."""


class Layer(ABC):
    r"""An invertible map :math:`y = f(x)` of vectors.

    To write a new one, compute both directions with the logarithm of their Jacobian's absolute
    determinant. What has no inverse in closed form,
    :func:`ppl_vae.families.flows.root.solve` inverts.
    """

    @abstractmethod
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        r"""Returns :math:`f(x)` and :math:`\log |\det \partial f / \partial x|`."""

    @abstractmethod
    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        r"""Returns :math:`x = f^{-1}(y)` and :math:`\log |\det \partial x / \partial y|`."""


class Layers:
    r"""The composition :math:`f_L \circ \dots \circ f_1`, called as transformations of zuko are.

    Arguments:
        layers: The layers :math:`f_1, \dots, f_L`.
        inverted: Whether it is the inverse of the composition.
    """

    def __init__(self, layers: Sequence[Layer], *, inverted: bool = False) -> None:
        self.layers = layers
        self.inverted = inverted

    @property
    def inv(self) -> Layers:
        r"""The inverse map."""
        return Layers(self.layers, inverted=not self.inverted)

    def call_and_ladj(self, x: Tensor) -> tuple[Tensor, Tensor]:
        r"""Returns the image and the logarithm of the Jacobian's absolute determinant."""
        total = torch.zeros_like(x[..., 0])

        for layer in reversed(self.layers) if self.inverted else self.layers:
            x, ladj = layer.inverse(x) if self.inverted else layer.forward(x)
            total = total + ladj

        return x, total


def log1p_sech2(product: Tensor, s: Tensor) -> Tensor:
    r"""Returns :math:`\log (1 + p \operatorname{sech}^2 s)`, without cancellation at large s.

    Example:
        >>> log1p_sech2(torch.tensor(-0.5), torch.tensor([0.0, 100.0]))
        tensor([-0.6931, -0.0000])
    """
    return torch.log1p(product * sech2(s))


def sech2(s: Tensor) -> Tensor:
    r"""Returns :math:`\operatorname{sech}^2 s = 1 - \tanh^2 s`, to the last digit."""
    return 4 * F.sigmoid(2 * s) * F.sigmoid(-2 * s)
