r"""Discriminators: networks that tell data from what a model makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

__all__ = ["Discriminator"]


class Discriminator(nn.Module):
    r"""A logit that is high for data, and the features that it is told by.

    Its layers are sized, and drawn, with the first batch: the seed of a training is set by then.

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

    def __init__(
        self, hidden: Sequence[int], layer: int = 1, features: nn.Module | None = None
    ) -> None:
        super().__init__()

        if min(hidden, default=1) < 1 or (features is None and not 1 <= layer <= len(hidden)):
            raise ValueError(
                "A discriminator needs hidden layers of positive sizes, one of which tells the "
                f"features, got hidden={list(hidden)} and layer={layer}."
            )

        layers = [part for n in hidden for part in (nn.LazyLinear(n), nn.SiLU())]
        split = 0 if features is not None else 2 * layer
        self.given = features
        self.low = nn.Sequential(*layers[:split])
        self.high = nn.Sequential(*layers[split:], nn.LazyLinear(1))

    def forward(self, data: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        r"""
        Arguments:
            data: The data by site, each with shape ``(n, *x_shape)``.

        Returns:
            The features, with shape ``(n, F)``, and the logits, with shape ``(n,)``.
        """
        first = next(iter(data.values()))
        last: nn.Linear = self.high[-1]  # type: ignore[assignment]
        if nn.parameter.is_lazy(last.weight):
            self.to(first.device)  # once sized, layers stay where they are

        dtype = last.weight.dtype
        if self.given is None:
            x = torch.cat([t.reshape(len(t), -1).to(dtype) for t in data.values()], 1).asinh()
            features = self.low(x)
        else:
            features = self.given(first.to(dtype)).flatten(1)

        logits = self.high(features).squeeze(-1)
        # Under autocast networks compute in bfloat16; losses need more.
        return features.to(first.dtype), logits.to(first.dtype)
