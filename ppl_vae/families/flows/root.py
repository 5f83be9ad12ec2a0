r"""The root of an increasing function, differentiable in everything the function depends on.

Flows whose maps have no inverse in closed form are inverted one scalar equation at a time. Each
of their maps knows a bracket of its own, so the number of steps is fixed: nothing here looks at
the value of a tensor, and the whole is one static graph.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["solve"]


def solve(
    f: Callable[[Tensor], Tensor],
    slope: Callable[[Tensor], Tensor],
    target: Tensor,
    low: Tensor,
    high: Tensor,
    halvings: int = 40,
    steps: int = 3,
) -> Tensor:
    r"""Solves :math:`f_\theta(x) = y` for :math:`x`, element by element.

    The bracket is halved until Newton's method is safe, and Newton's method is kept within it. A
    last Newton step, the only one with a gradient, gives the derivatives of the implicit function:

    .. math:: \frac{\partial x}{\partial y} = \frac{1}{f'_\theta(x)} \quad
        \frac{\partial x}{\partial \theta}
        = - \frac{1}{f'_\theta(x)} \frac{\partial f_\theta(x)}{\partial \theta}

    The gradient is exact once; it is not meant to be differentiated again.

    Example:
        >>> import torch
        >>> y = torch.tensor([0.0, 2.0, 30.0], requires_grad=True)
        >>> x = solve(lambda x: x + x**3, lambda x: 1 + 3 * x**2, y, -1 - y.abs(), 1 + y.abs())
        >>> x
        tensor([0., 1., 3.], grad_fn=<SubBackward0>)
        >>> torch.autograd.grad(x.sum(), y)[0] * (1 + 3 * x.detach() ** 2)
        tensor([1., 1., 1.])

    Arguments:
        f: The increasing function :math:`f_\theta`.
        slope: Its derivative :math:`f'_\theta`, positive.
        target: The values :math:`y`, with shape ``(*)``.
        low: A bound with :math:`f_\theta(a) \le y`, with shape ``(*)``.
        high: A bound with :math:`f_\theta(b) \ge y`, with shape ``(*)``.
        halvings: How often the bracket is halved, enough for Newton's method to be safe after.
        steps: The number of Newton steps without a gradient.

    Returns:
        The roots :math:`x`, with shape ``(*)``.
    """
    with torch.no_grad():
        for _ in range(halvings):
            middle = (low + high) / 2
            below = f(middle) < target
            low = torch.where(below, middle, low)
            high = torch.where(below, high, middle)

        x = (low + high) / 2
        for _ in range(steps):
            newton = x - (f(x) - target) / slope(x)
            x = torch.minimum(torch.maximum(newton, low), high)

        steepness = slope(x)

    return x - (f(x) - target) / steepness
