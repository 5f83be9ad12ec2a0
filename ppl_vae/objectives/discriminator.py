r"""Discriminators: networks that tell data from what a model makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from .critic import Critic, hidden_layers
from .rows import flattened

__all__ = ["Discriminator"]


class Discriminator(nn.Module):
    r"""A logit that is high for data, and the features that it is told by.

    Its layers are sized, and drawn, with the first batch: the seed of a training is set by then.
    So are the units in which it sees each site, the root mean square of these data; one, where
    they are zero.

    Example:
        >>> features, logits = Discriminator([16, 8])({"x": torch.zeros(5, 2, 2)})
        >>> features.shape, logits.shape
        (torch.Size([5, 16]), torch.Size([5]))

    Arguments:
        hidden: The widths of the hidden layers of a perceptron of the flattened data, which the
            inverse hyperbolic sine brings into its range, counts and 256 levels too.
        layer: The number of the hidden layer that tells the features, from one.
        features: A module from data of shape ``(n, *x_shape)`` to features, with shape
            ``(n, *)``, such as a convolutional one; the hidden layers follow it.

    Raises:
        ValueError: If there is no hidden layer, a width is not positive, or there is no such layer.
    """

    units: Tensor

    def __init__(
        self, hidden: Sequence[int], layer: int = 1, features: nn.Module | None = None
    ) -> None:
        super().__init__()

        if min(hidden, default=1) < 1 or (features is None and not 1 <= layer <= len(hidden)):
            raise ValueError(
                "A discriminator needs hidden layers of positive sizes, one of which tells the "
                f"features, got hidden={list(hidden)} and layer={layer}."
            )

        split = 0 if features is not None else layer
        self.given = features
        self.low = hidden_layers(hidden[:split])
        self.high = Critic(hidden[split:])
        self.register_buffer("units", torch.ones(1))

    def forward(self, data: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        r"""
        Arguments:
            data: The data by site, each with shape ``(n, *x_shape)``; those of the first call are
                real, not made.

        Returns:
            The features, with shape ``(n, F)``, and the logits, with shape ``(n,)``.
        """
        first = next(iter(data.values()))
        if not self.high.sized:
            self.to(first.device)  # once sized, layers stay where they are
            self.units = torch.stack([_unit(t).to(self.units) for t in data.values()])

        dtype = self.high.head.weight.dtype
        seen = [(t / u).to(dtype) for t, u in zip(data.values(), self.units, strict=True)]
        features = self.low(flattened(seen, dtype)) if self.given is None else self.given(seen[0])
        # Under autocast networks compute in bfloat16; losses need more.
        features = features.flatten(1).to(first.dtype)
        return features, self.high(features)


def _unit(t: Tensor) -> Tensor:
    unit = t.detach().square().mean().sqrt()
    return torch.where(unit > 0, unit, 1.0)
