r"""The parameters of a likelihood."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..modules import modules_of

__all__ = ["LikelihoodParameters"]


class LikelihoodParameters:
    r"""The parameters of a model that :math:`\log p(x \mid z)` depends on at given codes.

    Those of the prior, and of a guide in the same module, are not among them; those that are
    frozen are. They are found by one gradient, and told by their names: they may be replaced. The
    model is not kept alive.

    Example:
        >>> from ppl_vae.models import Linear
        >>> from ppl_vae.weights import log_joint
        >>> model = Linear(features=5, latent=2)
        >>> batch = {"x": model(n=3).detach()}
        >>> def likelihood():
        ...     return log_joint(model, batch, {"z": torch.zeros(1, 3, 2)})[0].sum()
        >>> sorted(LikelihoodParameters(model, likelihood).names)
        ['bias', 'log_scale', 'weight']

    Arguments:
        model: The program :math:`p(x, z)`, a module, or a method of one. None is nobody's model.
        likelihood: A function to :math:`\log p(x \mid z)`, with the gradient in its parameters.
    """

    __watched__ = False

    def __init__(self, model: Any = None, likelihood: Callable[[], Tensor] | None = None) -> None:
        self._model = None if model is None else weakref.ref(_owner(model))
        self.names: set[str] = set()
        if likelihood is None:
            return

        with _thawed(self._named().values()):
            value = likelihood()
            known = {name: p for name, p in self._named().items() if p.requires_grad}
            if known and value.requires_grad:
                found = torch.autograd.grad(value, list(known.values()), allow_unused=True)
                self.names = {k for k, g in zip(known, found, strict=True) if g is not None}

    def of(self, model: Any) -> bool:
        r"""Whether they are those of this model."""
        return self._model is not None and self._model() is _owner(model)

    def now(self) -> list[nn.Parameter]:
        r"""The parameters as they are now."""
        return [p for name, p in self._named().items() if name in self.names]

    def _named(self) -> dict[str, nn.Parameter]:
        model = None if self._model is None else self._model()
        return {name: p for module in modules_of(model) for name, p in module.named_parameters()}


@contextmanager
def _thawed(parameters: Iterable[nn.Parameter]) -> Iterator[None]:
    # What is frozen now may be thawed later.
    frozen = [p for p in parameters if p.is_floating_point() and not p.requires_grad]

    try:
        for p in frozen:
            p.requires_grad_(True)
        yield
    finally:
        for p in frozen:
            p.requires_grad_(False)


def _owner(model: Any) -> Any:
    # A method is made anew each time that it is looked up.
    return getattr(model, "__self__", model)
