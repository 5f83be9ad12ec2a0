r"""Mills' ratio of the normal law, with gradients that do not cancel."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

__all__ = ["log_mills", "residual"]


def log_mills(a: Tensor) -> Tensor:
    r"""Returns :math:`\log m(a)`, Mills' ratio of the standard normal law, for :math:`a \ge 0`.

    .. math:: m(a) = \frac{P(Z > a)}{f(a)} = \sqrt{\pi / 2} \, \mathrm{erfcx}(a / \sqrt{2})

    Its derivative is minus the residual; that of `torch.special.erfcx` is a difference, of which
    nothing is left at :math:`a = 10^4` in single precision.

    Example:
        >>> a = torch.tensor([0.0, 1e4], requires_grad=True)
        >>> log_mills(a).exp()
        tensor([1.2533e+00, 1.0000e-04], grad_fn=<ExpBackward0>)
        >>> torch.autograd.grad(log_mills(a).sum(), a)
        (tensor([-7.9788e-01, -1.0000e-04]),)
    """
    value: Tensor = _LogMills.apply(a)
    return value


def residual(a: Tensor) -> Tensor:
    r"""Returns :math:`\mathbb{E}[Z - a \mid Z > a] = 1 / m(a) - a`, for :math:`a \ge 0`.

    Example:
        >>> residual(torch.tensor([0.0, 1e4]))
        tensor([7.9788e-01, 1.0000e-04])
    """
    near = a.clamp(max=5)
    far = a.clamp(min=5)
    fraction = far

    # Laplace's continued fraction 1 / (a + 2 / (a + 3 / ...)), where the difference cancels.
    for k in range(28, 1, -1):
        fraction = far + k / fraction

    return torch.where(a < 5, (-log_mills(near)).exp() - near, 1 / fraction)


class _LogMills(torch.autograd.Function):
    # Its backward is made of operations that have gradients, so that second ones are right too.
    generate_vmap_rule = True

    @staticmethod
    def forward(a: Tensor) -> Tensor:
        return torch.special.erfcx(a / math.sqrt(2)).log() + math.log(math.pi / 2) / 2

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (a,) = ctx.saved_tensors
        return -gradient * residual(a)
