r"""Sylvester maps, the layers of a Sylvester flow."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .layers import Layer, log1p_sech2, sech2
from .root import solve

__all__ = ["SylvesterLayer"]


class SylvesterLayer(Layer):
    r"""A Sylvester map, :math:`y = x + Q R \tanh(\tilde{R} Q^\top x + b)`.

    :math:`R` and :math:`\tilde{R}` are upper triangular, and :math:`Q` is a product of Householder
    reflections. In the coordinates :math:`Q^\top x` the Jacobian is triangular, with the diagonal
    :math:`1 + R_{ii} \tilde{R}_{ii} \tanh'`; it is positive where the diagonals lie in
    :math:`(-1, 1)`. The inverse solves one scalar equation for each coordinate, last one first.

    Arguments:
        reflections: The normals of the reflections, with shape ``(*, H, d)``.
        outer: The matrix :math:`R`, with shape ``(*, d, d)``.
        inner: The matrix :math:`\tilde{R}`, with shape ``(*, d, d)``.
        b: The offset :math:`b`, with shape ``(*, d)``.
    """

    def __init__(self, reflections: Tensor, outer: Tensor, inner: Tensor, b: Tensor) -> None:
        square = reflections.square().sum(-1, keepdim=True)
        # A normal of length zero reflects nothing.
        tiny = torch.finfo(square.dtype).tiny ** 0.5
        self.normals = (reflections / square.clamp(min=tiny).sqrt()).unbind(-2)
        self.outer = outer
        self.inner = inner
        self.b = b
        self.product = (outer * inner).diagonal(dim1=-2, dim2=-1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        s = _times(self.inner, _reflect(x, self.normals)) + self.b
        move = _reflect(_times(self.outer, s.tanh()), self.normals[::-1])
        return x + move, log1p_sech2(self.product, s).sum(-1)

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        rest, known = torch.broadcast_tensors(_reflect(y, self.normals), self.b)
        found: list[Tensor] = []
        ladj = torch.zeros_like(rest[..., 0])

        for i in reversed(range(y.shape[-1])):
            x, s = self._coordinate(i, rest[..., i], known[..., i])
            found.append(x)
            ladj = ladj - log1p_sech2(self.product[..., i], s)
            known = known + self.inner[..., :, i] * x.unsqueeze(-1)
            rest = rest - self.outer[..., :, i] * s.tanh().unsqueeze(-1)

        return _reflect(torch.stack(found[::-1], dim=-1), self.normals[::-1]), ladj

    def _coordinate(self, i: int, target: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        r"""Solves :math:`x + r \tanh(\tilde{r} x + c) = y`; returns x, and what tanh is of."""
        r, inner, p = self.outer[..., i, i], self.inner[..., i, i], self.product[..., i]
        x = solve(
            lambda x: x + r * (inner * x + c).tanh(),
            lambda x: 1 + p * sech2(inner * x + c),
            target,
            target - r.abs(),
            target + r.abs(),
            # Slopes are above 1e-3, second derivatives below 1 and the bracket is shorter than 2:
            # after 12 halvings Newton's error is 0.1, squared with each step.
            halvings=12,
        )
        return x, inner * x + c


def _times(matrix: Tensor, x: Tensor) -> Tensor:
    return (matrix @ x.unsqueeze(-1)).squeeze(-1)


def _reflect(x: Tensor, normals: Sequence[Tensor]) -> Tensor:
    for v in normals:
        x = x - 2 * (v * x).sum(-1, keepdim=True) * v
    return x
