r"""Guides with free parameters for each datum."""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor, nn

from ..conditional import Conditional
from ..program import Program

__all__ = ["Refined"]


class Refined(Program):
    r"""A guide with free parameters for each of :math:`n` data, in the place of a network.

    Example:
        >>> import torch
        >>> from ppl_vae.families import Normal
        >>> from ppl_vae.guides import Amortized
        >>> from ppl_vae.networks import mlp
        >>> guide = Amortized(Conditional((5,), Normal((2,)), mlp()))
        >>> refined = Refined(guide, torch.zeros(10, 2, 2))
        >>> x = torch.zeros(10, 5)
        >>> refined(x).shape, refined(x[:3], index=torch.arange(3)).shape
        (torch.Size([10, 2]), torch.Size([3, 2]))

    Arguments:
        guide: The guide, whose :attr:`posterior` is a conditional of the data; it is copied, but
            for the network of that.
        table: The parameters, with shape ``(n, *family.param_shape)``.
        model: The model, which a guide that holds it keeps.
    """

    def __init__(self, guide: Any, table: Tensor, model: Any = None) -> None:
        super().__init__()
        self.table = _Table(guide.posterior, table)
        self.guide = copy.deepcopy(guide, {id(guide.posterior): self.table, id(model): model})

    def forward(self, *args: Any, index: Tensor | None = None, **batch: Any) -> Any:
        r"""
        Arguments:
            args: The batch, as the guide takes it.
            index: Which of the :math:`n` data the batch holds, with shape ``(m,)``; all if None.
            batch: The batch, by name.
        """
        self.table.index = index

        try:
            return self.guide(*args, **batch)
        finally:
            self.table.index = None


class _Table(Conditional):
    r"""A conditional whose parameters are looked up by the number of a datum."""

    def __init__(self, conditional: Conditional, rows: Tensor) -> None:
        nn.Module.__init__(self)
        self.in_shape = conditional.in_shape
        self.family = conditional.family
        self.rows = nn.Parameter(rows)
        self.index: Tensor | None = None

    def h(self, c: Tensor) -> Tensor:
        rows = self.rows if self.index is None else self.rows[self.index]

        if c.shape[:1] != rows.shape[:1]:
            raise ValueError(
                f"The guide was refined for {len(rows)} data, but the batch holds {len(c)}; tell "
                "which of them these are by index=..., beside the data in the batch."
            )

        return rows
