r"""What objectives have in common that train a network of their own against the programs."""

from __future__ import annotations

from typing import Any, NoReturn

from torch import Tensor

from ..weights import Program, Weights
from .aggregate import check_plain
from .base import Objective
from .divergences import check_reparameterized

__all__ = ["Game"]


class Game(Objective):
    r"""An objective whose players follow losses of their own, one against the other.

    Each has an optimizer of its own under :class:`ppl_vae.svi.SVI`, which alone trains it. Under
    :class:`pyro.infer.SVI`, which takes parameters from Pyro's store, a network of the objective
    would stay as it was drawn, and as a module, ``objective(model, guide)``, it would follow the
    loss of the programs, which it is to play against: both are refused.

    To write a new one, subclass it, hold the network as a module, and return the roles of the
    players from :meth:`~ppl_vae.objectives.Objective.players`; take weights from :meth:`codes`.

    Arguments: those of :class:`~ppl_vae.objectives.Objective`.

    Raises:
        ValueError: If a site is not reparameterized, is masked, or lies outside of the plate of the
            data or in one within it.
    """

    bound = "none"
    judged_by = "last"
    reparameterized = True
    weighted = False

    def codes(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> Weights:
        r"""The weights of a batch, each latent site of which is a vector for each datum."""
        weights = self.weights(model, guide, *args, **kwargs)
        weights.check_local()
        check_reparameterized(type(self).__name__, weights)

        for name, site in weights.sites.items():
            check_plain(type(self).__name__, name, site)

        return weights

    def loss_of(self, weights: Weights) -> Tensor:
        raise NotImplementedError("Its loss needs a network: the weights do not tell it.")

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        self._refuse()

    def loss_and_grads(self, *args: Any, **kwargs: Any) -> NoReturn:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise ValueError(
            f"{type(self).__name__} plays programs against a network of its own, each with an "
            "optimizer, which one optimizer for all would not train; use ppl_vae.svi.SVI."
        )
