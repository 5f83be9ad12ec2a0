r"""The family of rows of a table, each column of which has a family of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor, nn

from ..distributions import product
from .base import Family, check_vector
from .normal import Normal
from .wrapper import Builder, built, check_given, takes

__all__ = ["Product"]


class Product(Family):
    r"""Independent columns of different kinds, such as a length, a count and a category.

    .. math:: p_h(y) = \prod_{i=1}^d p^{(i)}_{h_i}(y_i)

    where :math:`h` holds the parameters of each column in turn. Integers of a column are held, and
    drawn, as floating point numbers, as the others are.

    Example:
        >>> from ppl_vae.families import Bernoulli, Normal, Poisson
        >>> family = Product((3,), [Normal, Poisson, Bernoulli])
        >>> family.param_shape
        torch.Size([4])
        >>> family(torch.zeros(4)).measure
        'mixed (counting: 1, 2)'

    References:
        | Handling Incomplete Heterogeneous Data using VAEs (Nazabal et al., 2020)
        | https://arxiv.org/abs/1807.03653

    Arguments:
        event_shape: The shape ``(d,)`` of one draw.
        families: The family of each column, but for its shape; normal ones if none is given.

    Raises:
        ValueError: If a draw is not a vector, or there are not as many families as columns.
    """

    def __init__(self, event_shape: Sequence[int], families: Sequence[Builder] = ()) -> None:
        super().__init__(event_shape)
        d = check_vector(self)
        families = families or [Normal] * d

        if len(families) != d:
            raise ValueError(
                f"Product needs a family for each of the {d} columns, got {len(families)}."
            )

        self.families = nn.ModuleList([built("Product", f, ()) for f in families])
        self.shapes = [family.param_shape for family in self.columns]
        self.param_shape = torch.Size([sum(shape.numel() for shape in self.shapes)])

    @property
    def columns(self) -> list[Family]:
        r"""The families of the columns."""
        return list(self.families)  # type: ignore[arg-type]

    def forward(self, h: Tensor, **given: Any) -> dist.TorchDistribution:
        r"""
        Arguments:
            h: The unconstrained parameters, with shape ``(*, *param_shape)``.
            given: What else the families of some columns take, such as an exposure; a column
                that takes none, such as a length, needs none.

        Raises:
            ValueError: If no column takes what is given.
        """
        check_given(self, given)
        parts = h.split([shape.numel() for shape in self.shapes], dim=-1)
        return product.Product(
            [
                family(
                    part.unflatten(-1, shape),
                    **{name: value for name, value in given.items() if takes(family, name)},
                )
                for family, part, shape in zip(self.columns, parts, self.shapes, strict=True)
            ]
        )

    def at_mean(self, mean: Tensor) -> Tensor:
        means = mean.unbind()
        parts = [f.at_mean(m).flatten() for f, m in zip(self.columns, means, strict=True)]
        return torch.cat(parts)
