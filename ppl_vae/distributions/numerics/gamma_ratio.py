r"""Ratios of gamma functions, without the cancellation of their logarithms.

In single precision, :math:`\log \Gamma(10^4)` is known to 5e-3 only: the difference of two is
worthless as a log density. Here both are shifted to large arguments, where the series of Stirling
holds, and subtracted term by term.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["digamma_difference", "lgamma_difference"]

# B_2k / (2k (2k - 1)), of Stirling's series in 1 / z^(2k - 1).
SERIES = 1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156
SHIFT = 10


def lgamma_difference(a: Tensor, b: float) -> Tensor:
    r"""Returns :math:`\log \Gamma(a + b) - \log \Gamma(a)`.

    Example:
        >>> import torch
        >>> lgamma_difference(torch.tensor([1.0, 1e4]), 3.0).exp()  # a (a + 1) (a + 2)
        tensor([6.0000e+00, 1.0003e+12])

    Arguments:
        a: The argument :math:`a > 0`, with any shape.
        b: The increment :math:`b \geq 0`.
    """
    steps = a.unsqueeze(-1) + torch.arange(SHIFT, dtype=a.dtype, device=a.device)
    z = a + SHIFT
    # (z + b - 1/2) log(z + b) - (z - 1/2) log z - b, the main term.
    main = (z - 0.5) * (b / z).log1p() + b * ((z + b).log() - 1)
    tail = sum(
        c * ((z + b) ** (1 - 2 * k) - z ** (1 - 2 * k)) for k, c in enumerate(SERIES, start=1)
    )
    return main + tail - (b / steps).log1p().sum(-1)


def digamma_difference(a: Tensor, b: float) -> Tensor:
    r"""Returns :math:`\psi(a + b) - \psi(a)`, the derivative of :func:`lgamma_difference`.

    Example:
        >>> import torch
        >>> digamma_difference(torch.tensor([1.0, 2.0]), 1.0)  # 1 / a
        tensor([1.0000, 0.5000])

    Arguments:
        a: The argument :math:`a > 0`, with any shape.
        b: The increment :math:`b \geq 0`.
    """
    steps = a.unsqueeze(-1) + torch.arange(SHIFT, dtype=a.dtype, device=a.device)
    z = a + SHIFT
    main = (b / z).log1p() + b / (2 * z * (z + b))
    tail = sum(
        c * (1 - 2 * k) * ((z + b) ** (-2 * k) - z ** (-2 * k))
        for k, c in enumerate(SERIES, start=1)
    )
    return main + tail + (b / (steps * (steps + b))).sum(-1)
