r"""Families of distributions, indexed by unconstrained parameters.

A family :math:`\{p_h\}` turns a tensor :math:`h` of real numbers, which any network may produce,
into a distribution over tensors of one shape. Likelihoods :math:`p_h(x)` and posteriors
:math:`q_h(z)` are roles of one and the same family, not types of their own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor, nn

__all__ = ["Family", "check_vector"]


class Family(nn.Module, ABC):
    r"""A family :math:`\{p_h\}` of distributions over tensors of one shape.

    To write a new one, subclass it, take ``event_shape`` first, and

    1. tell ``features``, the number of unconstrained parameters of each element (or set
       ``self.param_shape`` yourself, if the parameters do not come element by element);
    2. return the distribution from :meth:`forward`, with ``.to_event(len(self.event_shape))``;
    3. bound every scale with :func:`ppl_vae.families.scale.bounded`;
    4. optionally, override :meth:`at_mean`, the inverse of :meth:`forward` for a given mean.

    Whether draws are reparameterized, what their support is and which divergences are known in
    closed form is read from the distribution: there is nothing to declare.

    Arguments:
        event_shape: The shape of one draw.
        features: The number of unconstrained parameters per element.

    Raises:
        ValueError: If a size in ``event_shape`` is not positive.
    """

    def __init__(self, event_shape: Sequence[int], features: int = 1) -> None:
        super().__init__()
        self.event_shape = torch.Size(event_shape)
        self.param_shape = torch.Size((features, *self.event_shape))

        if any(size < 1 for size in self.event_shape):
            raise ValueError(
                f"{type(self).__name__} needs positive sizes in event_shape, "
                f"got {tuple(self.event_shape)}."
            )

    @abstractmethod
    def forward(self, h: Tensor) -> TorchDistribution:
        r"""
        Arguments:
            h: The unconstrained parameters, with shape ``(*, *param_shape)``.

        Returns:
            The distribution :math:`p_h`, with batch shape ``(*)`` and event shape ``event_shape``.
        """

    def at_mean(self, mean: Tensor) -> Tensor:
        r"""
        Arguments:
            mean: A mean, with shape ``(*event_shape)``.

        Returns:
            Parameters :math:`h` at which :math:`\mathbb{E}_{p_h}[y]` is near ``mean``, with shape
            ``(*param_shape)``; zeros where a family has no such inverse.
        """
        return torch.zeros(self.param_shape, dtype=mean.dtype, device=mean.device)

    def exposure_of(self, x: Tensor) -> Tensor | None:
        r"""What observed data tell of their exposure by themselves; nothing, for most families.

        Arguments:
            x: The data, with shape ``(*, *event_shape)``.

        Returns:
            The exposures, with shape ``(*)``, or None.
        """
        return None

    def unbind(self, h: Tensor) -> tuple[Tensor, ...]:
        r"""Splits :math:`h` into its features, each with shape ``(*, *event_shape)``."""
        return h.unbind(-1 - len(self.event_shape))

    def extra_repr(self) -> str:
        return f"event_shape={tuple(self.event_shape)}"


def check_vector(family: Family, least: int = 1) -> int:
    r"""Returns the size :math:`d` of a family over vectors.

    Raises:
        ValueError: If its draws are no vectors, or have fewer than ``least`` elements.
    """
    name, shape = type(family).__name__, tuple(family.event_shape)

    if len(shape) != 1:
        raise ValueError(
            f"{name} is over vectors, got event_shape {shape}; give it one dimension, such as (8,)."
        )
    if shape[0] < least:
        raise ValueError(f"{name} needs {least} elements or more, got event_shape {shape}.")

    return int(shape[0])
