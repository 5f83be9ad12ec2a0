r"""Affine scalings fitted on the training split, with their change of volume.

.. math:: y = \frac{x - m}{s} \qquad
    \log p(x) = \log p(y) - \sum_j \log s_j

Flat events scale each column by itself; events of two or more dimensions, pictures, share one
:math:`m` and one :math:`s`, so that contrast between pixels survives.
"""

from __future__ import annotations

__all__ = ["Affine", "standardize", "unit"]

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Affine:
    r"""The scaling :math:`y = (x - m) / s`.

    Arguments:
        shift: The shift :math:`m`, in the units of the raw data, event shape or :math:`()`.
        scale: The scale :math:`s > 0`, of the same shape.

    Example:
        >>> f = Affine(torch.tensor([1.0, 2.0]), torch.tensor([2.0, 4.0]))
        >>> f(torch.tensor([[3.0, 6.0]]))
        tensor([[1., 1.]])
        >>> f.inv(f(torch.tensor([[3.0, 6.0]])))
        tensor([[3., 6.]])
    """

    shift: Tensor
    scale: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return (x - self.shift.to(x.device)) / self.scale.to(x.device)

    def inv(self, y: Tensor) -> Tensor:
        r"""The raw data :math:`x = m + s y`."""

        return self.shift.to(y.device, y.dtype) + self.scale.to(y.device, y.dtype) * y

    def log_volume(self, x: Tensor) -> Tensor:
        r"""The term :math:`-\sum_j \log s_j` of each datum, in nats, shape :math:`(n,)`.

        A missing value (NaN) has no density, hence no term.
        """

        log_s = self.scale.to(x.device).log().expand(x.shape[1:])

        return -torch.where(x.isnan(), 0.0, log_s).reshape(len(x), -1).sum(1)

    def state(self) -> dict[str, Any]:
        r"""Shift and scale as numbers, for a file."""

        return {"shift": self.shift.tolist(), "scale": self.scale.tolist()}

    @staticmethod
    def load(state: dict[str, Any]) -> Affine:
        r"""The scaling of a :meth:`state`."""

        return Affine(*(torch.tensor(state[k], dtype=torch.float64) for k in ("shift", "scale")))


def standardize(x: Tensor) -> Affine:
    r"""Mean 0 and variance 1 over the rows of `x`; a constant column keeps :math:`s = 1`.

    Example:
        >>> x = torch.tensor([[0.0, 7.0], [2.0, 7.0]])
        >>> standardize(x)(x)
        tensor([[-1.,  0.],
                [ 1.,  0.]], dtype=torch.float64)
    """

    columns = _columns(x)
    m = columns.nanmean(0).nan_to_num()
    s = (columns - m).square().nanmean(0).nan_to_num().sqrt()

    return _affine(x, m, s)


def unit(x: Tensor) -> Affine:
    r"""The range of `x` to :math:`[0, 1]`; other rows may leave it. Constants keep :math:`s = 1`.

    Example:
        >>> x = torch.tensor([[1.0], [3.0], [2.0]])
        >>> unit(x)(x).flatten().tolist()
        [0.0, 1.0, 0.5]
    """

    columns = _columns(x)
    low = torch.where(columns.isnan(), torch.inf, columns).amin(0)
    high = torch.where(columns.isnan(), -torch.inf, columns).amax(0)
    seen = low <= high

    return _affine(x, torch.where(seen, low, 0.0), torch.where(seen, high - low, 0.0))


def _columns(x: Tensor) -> Tensor:
    # float64, for a column such as a year has a mean much larger than its spread
    x = x.to(torch.float64)

    return x if x.dim() == 2 else x.reshape(-1, 1)


def _affine(x: Tensor, m: Tensor, s: Tensor) -> Affine:
    # A spread of rounding size is that of a constant.
    s = torch.where(s > 1e-12 * m.abs(), s, 1.0)
    shape = x.shape[1:] if x.dim() == 2 else ()

    return Affine(m.reshape(shape), s.reshape(shape))
