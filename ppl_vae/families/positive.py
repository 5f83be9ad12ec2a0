r"""A positive number of a family that is not its location: a scale, a concentration, a shape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from .scale import bounded, check_bounds

__all__ = ["Choice", "Positive"]

Choice = Literal["element", "shared"] | float
r"""Where a number comes from: :math:`h`, a parameter of the family's own, or the user."""


class Positive(nn.Module):
    r"""A positive number, from :math:`h` for each element, learned for all data, or fixed.

    .. math:: s = l + (s_0 - l) \, \mathrm{bounded}(\rho)

    where :math:`l` is the least value and :math:`s_0` the one at :math:`\rho = 0`; see
    :func:`ppl_vae.families.scale.bounded`.

    Example:
        >>> import torch
        >>> scale = Positive("The scale of Huber", 0.5, floor=1e-3, ceiling=10.0)
        >>> scale((), torch.zeros(2))
        tensor(0.5000)

    Arguments:
        name: What the number is, for messages.
        choice: ``"element"``: from :math:`h`; ``"shared"``: one learned for all data; a number:
            that one, fixed.
        floor: The floor of ``bounded``.
        ceiling: The ceiling of ``bounded``.
        shape: The shape of a shared number: ``()``, or that of an event.
        start: The value :math:`s_0`.
        least: The value :math:`l`.

    Raises:
        ValueError: If a fixed number is not positive and finite, or the bounds are not
            ``0 < floor < 1 < ceiling``.
    """

    def __init__(
        self,
        name: str,
        choice: Choice,
        floor: float,
        ceiling: float,
        *,
        shape: Sequence[int] = (),
        start: float = 1.0,
        least: float = 0.0,
    ) -> None:
        super().__init__()
        self.choice = choice
        self.floor = floor
        self.ceiling = ceiling
        self.start = start
        self.least = least
        check_bounds(floor, ceiling)

        if choice == "shared":
            self.rho = nn.Parameter(torch.zeros(tuple(shape)))
        elif not isinstance(choice, str) and not 0 < choice < math.inf:
            raise ValueError(f"{name} must be positive and finite, got {choice}.")
        elif isinstance(choice, str) and choice != "element":
            raise ValueError(f"{name} is 'element', 'shared' or a number, got {choice!r}.")

    @property
    def features(self) -> int:
        r"""The number of unconstrained parameters per element that it takes."""
        return 1 if self.choice == "element" else 0

    def forward(self, features: Sequence[Tensor], like: Tensor) -> Tensor:
        r"""
        Arguments:
            features: The unconstrained parameters of it in :math:`h`, one or none.
            like: A tensor whose type and device a fixed number takes.
        """
        if not isinstance(self.choice, str):
            return torch.full((), self.choice, dtype=like.dtype, device=like.device)

        (rho,) = features if self.choice == "element" else (self.rho,)
        value = bounded(rho, self.floor, self.ceiling)
        return value if self.least == 0 and self.start == 1 else self._shift(value)

    def _shift(self, value: Tensor) -> Tensor:
        return self.least + (self.start - self.least) * value

    def extra_repr(self) -> str:
        return repr(self.choice)
