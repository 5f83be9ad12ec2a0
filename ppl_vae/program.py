r"""What models and guides have in common."""

from __future__ import annotations

from itertools import count
from typing import Any, Self

import pyro
from torch import nn

__all__ = ["Program"]

_numbers = count()


class Program(nn.Module):
    r"""A generative or inference program with parameters.

    To write a new one, subclass it and take the observed sites by name in ``forward``, each
    ``None`` by default (a model draws it then; ``n`` tells how many)::

        class Model(Program):
            def forward(self, x=None, *, n=1):
                self.register()
                with pyro.plate("data", n if x is None else len(x), dim=-1):
                    z = pyro.sample("z", self.prior())
                    return pyro.sample("x", self.likelihood(z), obs=x)

        class Guide(Program):
            def forward(self, x=None, *, n=1):
                self.register()
                with pyro.plate("data", len(x), dim=-1):
                    pyro.sample("z", self.posterior(x))

    Latent sites have the same names in both. Draws have shape ``(n, *event_shape)``, or
    ``(K, n, *event_shape)`` for several particles.
    """

    def __init__(self) -> None:
        super().__init__()
        self._name = f"{type(self).__name__}-{next(_numbers)}"

    def register(self) -> None:
        r"""Names the parameters to Pyro; without it, :class:`pyro.infer.SVI` trains nothing."""
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                pyro.param(f"{self._name}$$${name}", parameter)

    def attach(self, model: Any = None) -> Self:
        r"""Hands a guide the model that it is for; does nothing for most programs.

        Experiments call it once both are there: ``guide = SemiAmortized(q).attach(model)``. A guide
        that overrides it holds the model, but not its parameters, which stay the model's own.

        Arguments:
            model: The program :math:`p(x, z)`.

        Returns:
            The program itself.
        """
        return self

    def __setstate__(self, state: dict[str, Any]) -> None:
        # A copy has parameters of its own, hence a name of its own in Pyro's parameter store.
        super().__setstate__(state)
        self._name = f"{type(self).__name__}-{next(_numbers)}"
