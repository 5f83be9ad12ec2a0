r"""Builders of neural networks, sized by what they connect."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from torch import nn

__all__ = ["Activation", "Network", "flatten", "layer_of", "positive"]

Activation = str | Callable[[], nn.Module]


class Network(ABC):
    r"""A builder of modules from tensors of one shape to tensors of another.

    To write a new one, subclass it, take the options in ``__init__`` and return a module from
    :meth:`__call__`. The shapes are handed over by
    :class:`~ppl_vae.conditional.Conditional`, so one builder serves as encoder and as decoder.
    Any function of ``(in_shape, out_shape)`` that returns a module will do as well.
    """

    @abstractmethod
    def __call__(self, in_shape: Sequence[int], out_shape: Sequence[int]) -> nn.Module:
        r"""
        Arguments:
            in_shape: The shape of one input.
            out_shape: The shape of one output.

        Returns:
            A module from ``(n, *in_shape)`` to ``(n, *out_shape)``.
        """

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({options})"


def positive(name: str, sizes: Sequence[int]) -> tuple[int, ...]:
    r"""Returns the sizes as a tuple; raises a ValueError, with their name, unless all positive."""
    if any(size < 1 for size in sizes):
        raise ValueError(f"{name} needs positive sizes, got {list(sizes)}.")

    return tuple(sizes)


def flatten(in_shape: Sequence[int]) -> nn.Module:
    r"""Returns a module from ``(n, *in_shape)``, scalars too, to vectors ``(n, features)``."""
    return nn.Flatten() if len(in_shape) > 0 else nn.Unflatten(0, (-1, 1))


def layer_of(activation: Activation, dropout: float = 0.0) -> Callable[[], nn.Module]:
    r"""Returns what builds a non-linearity, given by itself or by its name in :mod:`torch.nn`.

    Example:
        >>> layer_of("Tanh")(), layer_of(nn.ReLU)()
        (Tanh(), ReLU())

    Arguments:
        activation: The non-linearity.
        dropout: The probability with which each of its outputs is dropped in training. One layer
            it stays, so that weights have the same names with and without.

    Raises:
        ValueError: If there is no module of that name, or the probability is not one, or is 1.
    """
    if not 0 <= dropout < 1:
        raise ValueError(f"A network drops out with probability 0 or more, below 1; got {dropout}.")
    if not isinstance(activation, str):
        return activation if dropout == 0 else lambda: _dropping(activation(), dropout)

    found = getattr(nn, activation, None)

    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise ValueError(
            f"There is no activation {activation!r} in torch.nn; take SiLU, Tanh, ReLU, GELU, "
            "Softplus or another of its names."
        )

    return layer_of(found, dropout)


def _dropping(activation: nn.Module, dropout: float) -> nn.Module:
    return nn.Sequential(activation, nn.Dropout(dropout))
