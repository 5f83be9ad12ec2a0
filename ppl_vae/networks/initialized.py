r"""Another network, from other initial weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from .base import Network
from .mlp import mlp
from .spectral import LAYERS

__all__ = ["initialized"]

Scheme = Literal[
    "xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal", "orthogonal"
]
TRANSPOSED = nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d
NAMES: dict[type, Any] = {
    nn.Sigmoid: "sigmoid",
    nn.Tanh: "tanh",
    nn.ReLU: "relu",
    nn.LeakyReLU: "leaky_relu",
    nn.SELU: "selu",
}
r"""The non-linearities that torch knows the gain of, by its name for each."""


class initialized(Network):
    r"""Another network, the linear and convolutional layers of which start from chosen weights.

    .. math::
        \mathrm{Var}(W) = \frac{2 g^2}{\mathrm{in} + \mathrm{out}} \; \text{(Xavier)} \quad
        \mathrm{Var}(W) = \frac{g^2}{\mathrm{in}} \; \text{(Kaiming)} \quad
        W W^\top = g^2 \, \mathrm{I} \; \text{(orthogonal, if in} \geq \text{out)}

    Biases start at zero. The gain :math:`g` is that of :func:`torch.nn.init.calculate_gain` for the
    non-linearity that follows the layer: Sigmoid, Tanh, ReLU, LeakyReLU or SELU; it is 1 after
    others, which torch knows none for, and where none follows. The weight of a convolution counts
    as the matrix of one row for each output channel, one that is transposed as if it were not.
    What else has parameters, such as a normalization, keeps its own.

    Example:
        >>> W = initialized(mlp([2], "Tanh"), "orthogonal")((400,), (2,))[1].weight
        >>> (W @ W.T).allclose((5 / 3) ** 2 * torch.eye(2), atol=1e-5)
        True

    References:
        | Understanding the Difficulty of Training Deep Feedforward Neural Networks (Glorot &
        | Bengio, 2010)
        | https://proceedings.mlr.press/v9/glorot10a.html
        | Delving Deep into Rectifiers (He et al., 2015)
        | https://arxiv.org/abs/1502.01852
        | Exact Solutions to the Nonlinear Dynamics of Learning in Deep Linear Neural Networks
        | (Saxe et al., 2014)
        | https://arxiv.org/abs/1312.6120

    Arguments:
        network: The builder of the network.
        scheme: The name in :mod:`torch.nn.init`, without the underscore at its end: xavier_uniform,
            xavier_normal, kaiming_uniform, kaiming_normal or orthogonal.

    Raises:
        ValueError: If there is no such scheme, or weights are computed from others.
    """

    def __init__(
        self,
        network: Network = mlp(),  # noqa: B008
        scheme: Scheme = "xavier_uniform",
    ) -> None:
        self.network = network
        self.scheme = scheme

        if scheme not in get_args(Scheme):
            raise ValueError(
                f"There is no scheme {scheme!r}; take one of {', '.join(get_args(Scheme))}."
            )

    def __call__(self, in_shape: Sequence[int], out_shape: Sequence[int]) -> nn.Module:
        net = self.network(torch.Size(in_shape), torch.Size(out_shape))

        for layer, follows in _layers(net):
            if is_parametrized(layer, "weight"):
                raise ValueError(
                    "initialized finds a weight that is computed from others, as spectral does; "
                    "wrap the other way round: spectral around initialized."
                )
            with torch.no_grad():
                layer.weight.copy_(self.weight(layer, follows))
                if layer.bias is not None:
                    layer.bias.zero_()

        return net

    def weight(self, layer: Any, follows: nn.Module | None) -> Tensor:
        r"""Draws the weight of a layer.

        Arguments:
            layer: The layer.
            follows: The non-linearity after it, if one is known.
        """
        turned = isinstance(layer, TRANSPOSED)
        shape = (layer.weight.transpose(0, 1) if turned else layer.weight).shape
        weight = layer.weight.new_empty(shape)
        draw: Callable[..., Tensor] = getattr(nn.init, f"{self.scheme}_")
        name = NAMES.get(type(follows), "linear")
        slope = getattr(follows, "negative_slope", 0.0)

        if self.scheme.startswith("kaiming"):
            draw(weight, a=slope, nonlinearity=name)
        else:
            draw(weight, gain=nn.init.calculate_gain(name, slope))

        return weight.transpose(0, 1) if turned else weight


def _layers(net: nn.Module) -> Iterator[tuple[Any, nn.Module | None]]:
    # Layers with the known non-linearity before the next of them: modules come in order of use.
    layer: nn.Module | None = None
    follows: nn.Module | None = None

    for module in net.modules():
        if isinstance(module, LAYERS):
            if layer is not None:
                yield layer, follows
            layer, follows = module, None
        elif type(module) in NAMES and follows is None:
            follows = module

    if layer is not None:
        yield layer, follows
