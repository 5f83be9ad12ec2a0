r"""Conditional distributions :math:`p(y \mid c)`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor, nn

from .families.base import Family

__all__ = ["Conditional", "Free"]


class Conditional(nn.Module):
    r"""A family whose parameters a network computes from a condition :math:`c`.

    .. math:: p(y \mid c) = p_h(y) \quad h = \mathrm{net}(c / s) + h_0

    It is a likelihood :math:`p(x \mid z)` in a model, a posterior :math:`q(z \mid x)` in a guide,
    and the one place where leading dimensions (particles, data) are folded into one.

    Example:
        >>> from ppl_vae.families import Normal
        >>> from ppl_vae.networks import mlp
        >>> q = Conditional((1, 8, 8), Normal((4,)), mlp())
        >>> q(torch.zeros(7, 5, 1, 8, 8)).batch_shape
        torch.Size([7, 5])

    Arguments:
        in_shape: The shape of one condition.
        family: The family of :math:`y`.
        network: The builder of a module from ``(n, *in_shape)`` to ``(n, *family.param_shape)``.
        mean: A mean of :math:`y`, such as that of the data, with shape ``(*family.event_shape)``,
            at which the parameters start: :math:`h_0 = ` ``family.at_mean(mean)``, kept with the
            module's state, not trained. Without it, :math:`h_0 = 0`.
        in_scale: The scale :math:`s` that brings conditions to a network's usual range.

    Raises:
        ValueError: If a condition has another shape, or ``in_scale`` is not positive.
    """

    def __init__(
        self,
        in_shape: Sequence[int],
        family: Family,
        network: Callable[[torch.Size, torch.Size], nn.Module],
        *,
        mean: Tensor | None = None,
        in_scale: float = 1.0,
    ) -> None:
        super().__init__()

        if in_scale <= 0:
            raise ValueError(f"The in_scale of Conditional must be positive, got {in_scale}.")

        self.in_shape = torch.Size(in_shape)
        self.family = family
        self.in_scale = in_scale
        self.net = network(self.in_shape, family.param_shape)
        self.register_buffer("offset", None if mean is None else family.at_mean(mean))

    def forward(self, c: Tensor) -> TorchDistribution:
        r"""
        Arguments:
            c: Conditions, with shape ``(*, *in_shape)``.

        Returns:
            The distribution :math:`p(y \mid c)`, with batch shape ``(*)``.
        """
        return self.family(self.h(c))

    def h(self, c: Tensor) -> Tensor:
        r"""Returns the parameters :math:`h`, with shape ``(*, *family.param_shape)``."""
        lead = c.shape[: c.ndim - len(self.in_shape)]

        if c.shape[len(lead) :] != self.in_shape or c.ndim < len(self.in_shape):
            raise ValueError(
                f"Conditional expects conditions of shape (*, {str(tuple(self.in_shape))[1:-1]}), "
                f"got {tuple(c.shape)}; reshape the data, or build it for that shape."
            )

        if not c.is_floating_point():
            c = c.to(torch.get_default_dtype())
        if self.in_scale != 1:
            c = c / self.in_scale

        h = self.net(c.reshape(-1, *self.in_shape))
        h = h.reshape(*lead, *self.family.param_shape)
        return h if self.offset is None else h + self.offset

    def replace(self, h: Tensor) -> Free:
        r"""The same family with free parameters, one for each datum, instead of the network.

        Per-datum refinement, the amortization gap and semi-amortized guides stand on it.

        Arguments:
            h: Parameters for :math:`n` data, with shape ``(n, *family.param_shape)``.

        Returns:
            A conditional that takes ``n`` conditions, in the order of ``h``, and ignores them.
        """
        return Free(self, h)

    def extra_repr(self) -> str:
        return f"in_shape={tuple(self.in_shape)}"


class Free(nn.Module):
    r"""A conditional whose parameters are free for each datum; see :meth:`Conditional.replace`.

    Arguments:
        conditional: The conditional whose family and shapes it shares.
        h: Parameters for :math:`n` data, with shape ``(n, *family.param_shape)``.

    Raises:
        ValueError: If ``h`` has another shape, or the number of conditions is not ``n``.
    """

    def __init__(self, conditional: Conditional, h: Tensor) -> None:
        super().__init__()

        if h.shape[1:] != conditional.family.param_shape:
            raise ValueError(
                f"Free parameters need shape (n, {str(tuple(conditional.family.param_shape))[1:-1]})"
                f", got {tuple(h.shape)}."
            )

        self.in_shape = conditional.in_shape
        self.family = conditional.family
        # Assigned as it is: a Parameter is trained, a leaf or a function of others is followed.
        self.h = h

    def forward(self, c: Tensor) -> TorchDistribution:
        n = c.shape[-1 - len(self.in_shape)]

        if n != len(self.h):
            raise ValueError(f"Free parameters are for {len(self.h)} data, got {n} conditions.")

        return self.family(self.h)
