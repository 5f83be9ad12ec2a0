r"""Conditional distributions :math:`p(y \mid c)`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor, nn

from .families.base import Family
from .families.wrapper import check_given

__all__ = ["Conditional", "Free"]

BATCH_NORMS = nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm


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
        missing: Whether conditions may hold NaN, where an entry is missing. The network then sees
            zero there, and along the first dimension after the entries, whether each is present:
            it is built for ``(2 * in_shape[0], *in_shape[1:])``.

    Raises:
        ValueError: If a size or ``in_scale`` is not positive, if single numbers may be missing, if
            the mean is not over ``event_shape``, if a condition or the network's output has
            another shape, or if conditions have several leading dimensions where the network's
            BatchNorm, in training, would take all of them for one batch.
    """

    def __init__(
        self,
        in_shape: Sequence[int],
        family: Family,
        network: Callable[[torch.Size, torch.Size], nn.Module],
        *,
        mean: Tensor | None = None,
        in_scale: float = 1.0,
        missing: bool = False,
    ) -> None:
        super().__init__()

        if any(size < 1 for size in in_shape):
            raise ValueError(
                f"Conditional needs positive sizes in in_shape, got {tuple(in_shape)}."
            )
        if not 0 < in_scale < math.inf:
            raise ValueError(
                f"The in_scale of Conditional must be positive and finite, got {in_scale}."
            )
        if missing and len(in_shape) == 0:
            raise ValueError(
                "Conditional has no dimension along which to tell missing entries from others; "
                "give it conditions of one dimension or more, such as (1,)."
            )
        if mean is not None and mean.shape != family.event_shape:
            raise ValueError(
                f"The mean given to Conditional has shape {tuple(mean.shape)}, but the family "
                f"draws {tuple(family.event_shape)}; give both the same shape."
            )

        self.in_shape = torch.Size(in_shape)
        self.family = family
        self.in_scale = in_scale
        self.missing = missing
        seen = torch.Size([2 * in_shape[0], *in_shape[1:]]) if missing else self.in_shape
        self.net = network(seen, family.param_shape)
        self._norms = [m for m in self.net.modules() if isinstance(m, BATCH_NORMS)]
        # In the dtype of the network, which is the default one when it is built.
        dtype = torch.get_default_dtype()
        self.register_buffer("offset", None if mean is None else family.at_mean(mean.to(dtype)))

    def forward(self, c: Tensor, **given: Any) -> TorchDistribution:
        r"""
        Arguments:
            c: Conditions, with shape ``(*, *in_shape)``.
            given: What else the family takes, such as an exposure.

        Returns:
            The distribution :math:`p(y \mid c)`, with batch shape ``(*)``.

        Raises:
            ValueError: If the family does not take what is given.
        """
        check_given(self.family, given)
        return self.family(self.h(c), **given)

    def h(self, c: Tensor) -> Tensor:
        r"""Returns the parameters :math:`h`, with shape ``(*, *family.param_shape)``."""
        lead = c.shape[: c.ndim - len(self.in_shape)]

        if c.shape[len(lead) :] != self.in_shape or c.ndim < len(self.in_shape):
            raise ValueError(
                f"Conditional expects conditions of shape {_show('*', self.in_shape)}, got "
                f"{tuple(c.shape)}; reshape the data, or build it for that shape."
            )

        mixing = any(norm.training or norm.running_mean is None for norm in self._norms)
        if math.prod(lead[:-1]) > 1 and mixing:
            raise ValueError(
                f"The network of Conditional holds BatchNorm, which would mix the particles of "
                f"conditions {tuple(c.shape)} with the batch; take another normalization, such as "
                "norm='group' of dcgan or norm='layer' of mlp, or particles=1, or "
                "vectorized=False, which loops."
            )

        # Counts are integers, and NumPy's numbers are doubles: networks want their own type.
        c = c.to(next((p.dtype for p in self.net.parameters()), torch.get_default_dtype()))
        if self.in_scale != 1:
            c = c / self.in_scale
        if self.missing:
            present = c.isnan().logical_not()
            c = torch.where(present, c, torch.zeros_like(c))
            c = torch.cat([c, present.to(c.dtype)], dim=-len(self.in_shape))

        # Under autocast networks compute in bfloat16; densities need more.
        h = self.net(c.reshape(-1, *c.shape[len(lead) :])).to(c.dtype)

        if h.shape[1:] != self.family.param_shape:
            raise ValueError(
                "The network of Conditional must return tensors of shape "
                f"{_show('n', self.family.param_shape)}, got {tuple(h.shape)}; size its output by "
                "the out_shape it is given."
            )

        h = h.reshape(*lead, *self.family.param_shape)
        return h if self.offset is None else h + self.offset

    def given(
        self, x: Tensor | None, exposure: Tensor | None, default: float | None
    ) -> dict[str, Tensor]:
        r"""What a likelihood is called with beside its condition: the exposure, if there is one.

        Arguments:
            x: The observed data, if they are, which may tell their exposure.
            exposure: The exposures, with shape ``(n,)``, if they are known.
            default: The exposure of data that come without one.
        """
        if exposure is None and x is not None:
            exposure = self.family.exposure_of(x)
        if exposure is None and default is not None:
            like = next(self.net.parameters(), torch.empty(()))
            exposure = torch.full((), default, dtype=like.dtype, device=like.device)

        return {} if exposure is None else {"exposure": exposure}

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
                f"Free parameters need shape {_show('n', conditional.family.param_shape)}, "
                f"got {tuple(h.shape)}."
            )

        self.in_shape = conditional.in_shape
        self.family = conditional.family
        # Assigned as it is: a Parameter is trained, a leaf or a function of others is followed.
        self.h = h

    def forward(self, c: Tensor, **given: Any) -> TorchDistribution:
        lead = c.shape[: c.ndim - len(self.in_shape)]

        if lead[-1:] != self.h.shape[:1] or c.shape[len(lead) :] != self.in_shape:
            raise ValueError(
                f"Free parameters are for {len(self.h)} data, hence for conditions of shape "
                f"{_show('*', [len(self.h), *self.in_shape])}, got {tuple(c.shape)}."
            )

        check_given(self.family, given)
        return self.family(self.h, **given)


def _show(lead: str, shape: Sequence[int]) -> str:
    return f"({', '.join([lead, *map(str, shape)])})"
