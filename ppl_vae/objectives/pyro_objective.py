r"""Pyro's own objectives."""

from __future__ import annotations

from typing import Any

import pyro.infer
import torch
from torch import Tensor

from ..weights import Program, Weights
from .bare import bare
from .base import Objective
from .elbo import ELBO
from .mean_field_elbo import MeanFieldELBO
from .role import Estimate

__all__ = ["PyroObjective", "as_objective"]


class PyroObjective(Objective):
    r"""An objective of Pyro as it stands, with Pyro's arithmetic and no metrics.

    Example:
        >>> objective = PyroObjective(pyro.infer.RenyiELBO(num_particles=8))

    Arguments:
        elbo: The objective of Pyro.
    """

    weighted = False

    def __init__(self, elbo: pyro.infer.ELBO) -> None:
        super().__init__(particles=elbo.num_particles, vectorized=elbo.vectorize_particles)
        self.elbo: Any = elbo

        if not hasattr(elbo, "differentiable_loss"):
            self.eager = f"{type(elbo).__name__} of Pyro adds to the gradients by itself"

    def loss_of(self, weights: Weights) -> Tensor:
        raise NotImplementedError("Pyro's objectives read traces themselves.")

    def estimate(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> Estimate:
        size = next((len(t) for t in [*args, *kwargs.values()] if isinstance(t, Tensor)), 1)
        model, guide = bare(model), bare(guide)

        if hasattr(self.elbo, "differentiable_loss"):
            loss = self.elbo.differentiable_loss(model, guide, *args, **kwargs)
        elif torch.is_grad_enabled():
            # Some of Pyro's objectives only add to the gradients; they have done so here.
            loss = self.elbo.loss_and_grads(model, guide, *args, **kwargs)
        else:
            loss = self.elbo.loss(model, guide, *args, **kwargs)

        return Estimate(loss=torch.as_tensor(loss), metrics={}, size=float(size))

    def check(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> None:
        # What Pyro's arithmetic allows is for Pyro to check.
        self.elbo.loss(bare(model), bare(guide), *args, **kwargs)


def as_objective(objective: Any) -> Objective:
    r"""Returns an objective of this library for one of Pyro, or the objective itself.

    :class:`pyro.infer.Trace_ELBO` and :class:`pyro.infer.TraceMeanField_ELBO` become their
    equals, which tell the terms of the bound; any other is wrapped.

    Example:
        >>> as_objective(pyro.infer.Trace_ELBO(num_particles=8))
        ELBO(particles=8, kl_weight=1.0)

    Raises:
        ValueError: If it is no objective.
    """
    if isinstance(objective, Objective):
        return objective
    if not isinstance(objective, pyro.infer.ELBO):
        raise ValueError(
            f"An objective is one of ppl_vae.objectives or of pyro.infer, got {objective!r}."
        )

    equals: dict[type, type[Objective]] = {
        pyro.infer.Trace_ELBO: ELBO,
        pyro.infer.TraceMeanField_ELBO: MeanFieldELBO,
    }
    equal = equals.get(type(objective))

    if equal is None:
        return PyroObjective(objective)

    return equal(
        particles=objective.num_particles,
        vectorized=objective.vectorize_particles,
    )
