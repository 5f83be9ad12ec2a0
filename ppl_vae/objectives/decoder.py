r"""The parameters of a likelihood."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor, nn

from ..modules import modules_of

__all__ = ["Decoder"]


class Decoder:
    r"""The parameters of a model that :math:`\log p(x \mid z)` depends on at given codes.

    Those of the prior, and of a guide in the same module, are not among them. They are found by
    one gradient, and told by their names: they may be replaced. The model is not kept alive.

    Example:
        >>> from ppl_vae.models import Linear
        >>> from ppl_vae.weights import log_joint
        >>> model = Linear(features=5, latent=2)
        >>> batch = {"x": model(n=3).detach()}
        >>> likelihood, _ = log_joint(model, batch, {"z": torch.zeros(1, 3, 2)})
        >>> sorted(Decoder(model, likelihood.sum()).names)
        ['bias', 'log_scale', 'weight']

    Arguments:
        model: The program :math:`p(x, z)`, a module, or a method of one. None is nobody's model.
        likelihood: :math:`\log p(x \mid z)`, with the gradient in its parameters.
    """

    __watched__ = False

    def __init__(self, model: Any = None, likelihood: Tensor | None = None) -> None:
        self._model = None if model is None else weakref.ref(_owner(model))
        self.names: set[str] = set()
        known = {name: p for name, p in self._named().items() if p.requires_grad}

        if known and likelihood is not None and likelihood.requires_grad:
            found = torch.autograd.grad(likelihood, list(known.values()), allow_unused=True)
            self.names = {k for k, g in zip(known, found, strict=True) if g is not None}

    def of(self, model: Any) -> bool:
        r"""Whether they are those of this model."""
        return self._model is not None and self._model() is _owner(model)

    def parameters(self) -> list[nn.Parameter]:
        r"""The parameters as they are now."""
        return [p for name, p in self._named().items() if name in self.names]

    def _named(self) -> dict[str, nn.Parameter]:
        model = None if self._model is None else self._model()
        return {name: p for module in modules_of(model) for name, p in module.named_parameters()}


def _owner(model: Any) -> Any:
    # A method is made anew each time that it is looked up.
    return getattr(model, "__self__", model)
