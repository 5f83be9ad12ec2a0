r"""Priors :math:`p(z)` over latent variables."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor, nn

__all__ = ["Prior"]


class Prior(nn.Module, ABC):
    r"""A distribution :math:`p(z)`, possibly learned, over tensors of one shape.

    To write a new one, subclass it, take ``event_shape`` first and options of your own after it,
    and return the distribution, with an empty batch shape, from :meth:`forward`. Keep what it is
    made of by :meth:`hold`, so that draws follow the device and the dtype of the module. A prior
    that needs the posterior or the data overrides :meth:`attach`, which experiments call once both
    are there. One whose draws are far from the size of one by their nature, as those on a sphere in
    many dimensions are, says so in :attr:`draw_scale`.

    Arguments:
        event_shape: The shape of one draw.

    Raises:
        ValueError: If a size in ``event_shape`` is not positive.
    """

    draw_scale: float = 1.0
    r"""The usual size of an element of a draw, that networks which take draws divide it by: the
    ``in_scale`` of a likelihood's :class:`~ppl_vae.conditional.Conditional`."""

    def __init__(self, event_shape: Sequence[int]) -> None:
        super().__init__()
        self.event_shape = torch.Size(event_shape)

        if any(size < 1 for size in self.event_shape):
            raise ValueError(
                f"{type(self).__name__} needs positive sizes in event_shape, "
                f"got {tuple(self.event_shape)}."
            )

    @abstractmethod
    def forward(self) -> TorchDistribution:
        r"""
        Returns:
            The distribution :math:`p(z)`, with batch shape ``()`` and event shape ``event_shape``.
        """

    def attach(self, posterior: Any = None, data: Tensor | None = None) -> Prior:
        r"""Hands over what the rest of the model has to offer; does nothing for most priors.

        Arguments:
            posterior: The conditional distribution :math:`q(z \mid x)` of the guide.
            data: Rows of the training set, with shape ``(n, *x.shape)``.

        Returns:
            The prior itself.
        """
        return self

    def hold(self, name: str, value: Tensor, *, learned: bool = False) -> None:
        r"""Keeps a tensor under a name: a parameter if it is learned, else a buffer.

        A buffer is not saved with the module's state: options make it again.
        """
        if learned:
            self.register_parameter(name, nn.Parameter(value))
        else:
            self.register_buffer(name, value, persistent=False)

    def extra_repr(self) -> str:
        return f"event_shape={tuple(self.event_shape)}"
