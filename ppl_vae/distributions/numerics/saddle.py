r"""Log probabilities of counts, exact to rounding however large they are.

Written with factorials, they are differences of numbers of the order of :math:`y \log y`: in
single precision, a Poisson count of 100 000 is off by 0.15 nats. The saddle-point form,

.. math::
    \log \mathrm{Poisson}(y \mid \mu) & = - D(y, \mu) - \delta(y) - \frac{1}{2} \log 2 \pi y \\
    D(y, \mu) & = y \log \frac{y}{\mu} + \mu - y

only adds up terms of the size of the result, with half the deviance :math:`D` and the error
:math:`\delta` of Stirling's formula.

References:
    | Fast and Accurate Computation of Binomial Probabilities (Loader, 2000)
    | https://www.r-project.org/doc/reports/CLoader-dbinom-2002.pdf
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["deviance", "log_ratio", "poisson_log_prob", "stirling_error"]

# Of delta(x), in powers of 1 / x^2 after 1 / x.
SERIES = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360)


def poisson_log_prob(y: Tensor, mean: Tensor, log_mean: Tensor | None = None) -> Tensor:
    r"""Returns :math:`\log \mathrm{Poisson}(y \mid \mu)`.

    Example:
        >>> import torch
        >>> poisson_log_prob(torch.tensor([0.0, 1e5]), torch.tensor([2.0, 1e5]))
        tensor([-2.0000, -6.6754])

    Arguments:
        y: The counts.
        mean: The mean :math:`\mu`.
        log_mean: Its logarithm, where it is known better, such as that of a mean that vanishes.
    """
    some = torch.where(y > 0, y, 1.0)
    stirling = stirling_error(some) + (2 * math.pi * some).log() / 2
    return -deviance(y, mean, log_mean) - torch.where(y > 0, stirling, 0.0)


def deviance(y: Tensor, mean: Tensor, log_mean: Tensor | None = None) -> Tensor:
    r"""Returns :math:`D(y, \mu)`, half of the deviance, which is :math:`\mu` at :math:`y = 0`.

    Example:
        >>> import torch
        >>> deviance(torch.tensor([0.0, 2.0, 3.0]), torch.tensor(2.0))
        tensor([2.0000, 0.0000, 0.2164])

    Arguments:
        y: The counts, or other numbers that are not negative.
        mean: The mean :math:`\mu`.
        log_mean: Its logarithm, where it is known better.
    """
    some = torch.where(y > 0, y, 1.0)
    ratio = log_ratio(mean, some, log_mean)
    return torch.where(y > 0, mean - some - some * ratio, mean)


def log_ratio(a: Tensor, b: Tensor, log_a: Tensor | None = None) -> Tensor:
    r"""Returns :math:`\log a / b`, exact also where they are close.

    Example:
        >>> import torch
        >>> log_ratio(torch.tensor(10001.0), torch.tensor(10000.0))
        tensor(9.9995e-05)

    Arguments:
        a: Positive numbers.
        b: Positive numbers, not so small that their squares vanish.
        log_a: The logarithm of ``a``, where it is known better.
    """
    t = (a - b) / b
    # Near -1, t has lost what log1p would need.
    near = (t > -0.9) & (t < 100)
    far = (a.log() if log_a is None else log_a) - b.log()
    return torch.where(near, torch.where(near, t, 0.0).log1p(), far)


def stirling_error(x: Tensor) -> Tensor:
    r"""Returns :math:`\delta(x) = \log \Gamma(x) - (x - \frac{1}{2}) \log x + x
    - \frac{1}{2} \log 2 \pi`.

    Example:
        >>> import torch
        >>> stirling_error(torch.tensor([1.0, 100.0]))
        tensor([0.0811, 0.0008])

    Arguments:
        x: Positive numbers.
    """
    small = x < 8
    low, high = torch.where(small, x, 1.0), torch.where(small, 8.0, x)
    direct = low.lgamma() - (low - 0.5) * low.log() + low - math.log(2 * math.pi) / 2
    series, w = torch.zeros_like(x), high**-2

    for c in reversed(SERIES):
        series = series * w + c

    return torch.where(small, direct, series / high)
