r"""Spectral normalization of another network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from .base import Network, positive
from .mlp import mlp

__all__ = ["spectral"]

LAYERS = (
    nn.Linear,
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d),
    *(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
)


class spectral(Network):
    r"""Another network, the linear and convolutional layers of which have spectral norm 1.

    .. math:: \bar W = W / \sigma(W) \quad \sigma(W) = \max_v \|W v\| / \|v\|

    A perceptron of ReLU, or of another 1-Lipschitz activation, is 1-Lipschitz then. The weight of
    a convolution counts as the matrix of one row for each output channel. Each run in training
    takes ``iterations`` steps of the power method, in buffers, towards :math:`\sigma(W)`; in
    evaluation they stay.

    Example:
        >>> spectral(mlp(hidden=[200]))((28, 28), (2, 50))(torch.zeros(5, 28, 28)).shape
        torch.Size([5, 2, 50])

    References:
        | Spectral Normalization for Generative Adversarial Networks (Miyato et al., 2018)
        | https://arxiv.org/abs/1802.05957

    Arguments:
        network: The builder of the network.
        iterations: The number of steps of the power method in each run.

    Raises:
        ValueError: If ``iterations`` is not positive.
    """

    def __init__(
        self,
        network: Network = mlp(),  # noqa: B008
        iterations: int = 1,
    ) -> None:
        self.network = network
        (self.iterations,) = positive("spectral.iterations", [iterations])

    def __call__(self, in_shape: Sequence[int], out_shape: Sequence[int]) -> nn.Module:
        net = self.network(torch.Size(in_shape), torch.Size(out_shape))

        for module in net.modules():
            if isinstance(module, LAYERS):
                spectral_norm(module, n_power_iterations=self.iterations)

        return net
