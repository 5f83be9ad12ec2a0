r"""The bottom-up guide of hierarchical models."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pyro
from torch import Tensor, nn

from ppl_vae.conditional import Conditional
from ppl_vae.program import Program

__all__ = ["BottomUp", "check_chain"]


class BottomUp(Program):
    r"""A chain of posteriors, each from the draw of the layer below.

    .. math::
        z_1 & \sim q(z_1 \mid x) \\
        z_l & \sim q(z_l \mid z_{l - 1}) \quad l = 2, \dots, L

    It draws the sites against the model's order, so the analytic divergence of
    :class:`~ppl_vae.objectives.MeanFieldELBO` would be wrong, and is refused.

    Example:
        >>> import torch
        >>> from ppl_vae.families import Normal
        >>> from ppl_vae.networks import mlp
        >>> guide = BottomUp(
        ...     [Conditional((28, 28), Normal((8,)), mlp()), Conditional((8,), Normal((4,)), mlp())]
        ... )
        >>> guide(torch.zeros(5, 28, 28)).shape
        torch.Size([5, 4])

    References:
        | Importance Weighted Autoencoders (Burda et al., 2016)
        | https://arxiv.org/abs/1509.00519

    Arguments:
        layers: The posteriors :math:`q(z_1 \mid x), \dots, q(z_L \mid z_{L - 1})`.

    Raises:
        ValueError: If there is no layer, or one does not take the shape that the layer below it
            draws.
    """

    def __init__(self, layers: Sequence[Conditional]) -> None:
        super().__init__()
        check_chain(self, layers)
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor, exposure: Tensor | None = None) -> Tensor:
        r"""
        Arguments:
            x: The data, with shape ``(n, *x_shape)``.
            exposure: The exposures of the data, which only the model needs.

        Returns:
            Draws of :math:`z_L`, with shape ``(n, *z_shape)``.
        """
        self.register()

        with pyro.plate("data", len(x), dim=-1):
            z = x

            for level, layer in enumerate(self.layers, start=1):
                z = pyro.sample(f"z{level}", layer(z))

            return z


def check_chain(guide: Program, layers: Sequence[Conditional], *, linked: bool = True) -> None:
    r"""Raises a ValueError unless layers are a chain.

    Arguments:
        guide: The guide that they are of.
        layers: The conditionals of :math:`z_1, \dots, z_L`.
        linked: Whether each layer takes the shape that the one below it draws.
    """
    name = type(guide).__name__

    if isinstance(layers, nn.Module) or callable(layers):
        raise ValueError(
            f"{name} needs a list of layers, for a model with several layers of latent variables, "
            "such as that of the experiment 'layers'; for one latent variable take Amortized."
        )
    if not layers:
        raise ValueError(f"{name} needs one layer or more, got none.")

    for level, (below, above) in enumerate(pairwise(layers), start=1):
        if linked and below.family.event_shape != above.in_shape:
            raise ValueError(
                f"Latent z{level} is drawn with shape {tuple(below.family.event_shape)}, but "
                f"the layer above takes {tuple(above.in_shape)}; give both the same shape."
            )
