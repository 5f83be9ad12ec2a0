r"""The map between real vectors and the simplex by logarithms of ratios."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Transform, constraints

__all__ = ["AdditiveLogistic"]


class AdditiveLogistic(Transform):
    r"""Vectors of :math:`d - 1` real numbers as :math:`d` probabilities, and back.

    .. math:: y = \operatorname{softmax}(x_1, \dots, x_{d-1}, 0)
        \qquad x_i = \log \frac{y_i}{y_d}

    The volume is that of the first :math:`d - 1` probabilities. Unlike breaking a stick, whose
    inverse subtracts probabilities from one, it keeps the precision of small ones both ways.
    Probabilities that a dtype does not hold are raised to the smallest that it does.

    Example:
        >>> AdditiveLogistic()(torch.zeros(3))
        tensor([0.2500, 0.2500, 0.2500, 0.2500])

    References:
        | Logistic-Normal Distributions: Some Properties and Uses (Aitchison & Shen, 1980)
        | https://doi.org/10.1093/biomet/67.2.261
    """

    domain = constraints.real_vector
    codomain = constraints.simplex
    bijective = True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AdditiveLogistic)

    __hash__ = Transform.__hash__

    def _call(self, x: Tensor) -> Tensor:
        y = F.pad(x, (0, 1)).softmax(-1)
        # Over thousands of elements, rounding alone would leave the simplex.
        return (y / y.sum(-1, keepdim=True)).clamp(min=torch.finfo(x.dtype).tiny)

    def _inverse(self, y: Tensor) -> Tensor:
        log = y.clamp(min=torch.finfo(y.dtype).tiny).log()
        return log[..., :-1] - log[..., -1:]

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return y.clamp(min=torch.finfo(y.dtype).tiny).log().sum(-1)

    def forward_shape(self, shape: torch.Size) -> torch.Size:
        return torch.Size([*shape[:-1], shape[-1] + 1])

    def inverse_shape(self, shape: torch.Size) -> torch.Size:
        return torch.Size([*shape[:-1], shape[-1] - 1])
