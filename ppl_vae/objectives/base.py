r"""What objectives have in common.

An objective turns the importance weights of a batch into a loss, of which SVI follows the
gradient. Its value is Pyro's: the sum over the batch, in nats, times the scale of a minibatch;
:class:`~ppl_vae.svi.SVI` reports it per datum.
"""

from __future__ import annotations

import weakref
from abc import abstractmethod
from typing import Any

import pyro.infer
import torch
from pyro.infer.enum import get_importance_trace
from torch import Tensor, nn

from ..weights import Arguments, Program, Weights, log_weights, plate_depth
from .role import Estimate, Role
from .schedule import Schedule
from .terms import elbo_terms

__all__ = ["Objective"]


class Objective(pyro.infer.ELBO, nn.Module):
    r"""A loss over pairs of programs.

    It runs under :class:`ppl_vae.svi.SVI`, under :class:`pyro.infer.SVI`, and as a module,
    ``objective(model, guide)``, whose call gives the loss.

    To write a new one, subclass it, tell the bound and its reference in the docstring, and return
    the loss of :class:`~ppl_vae.weights.Weights` from :meth:`loss_of`, as a tensor that
    gradients flow through. Bounds for each datum ask for ``weights.log_weight``, which refuses
    programs that have none. One that trains its parts against each other returns a
    :class:`Role` for each of them from :meth:`players`.

    Arguments:
        particles: The number :math:`K` of draws for each datum.
        kl_weight: The weight :math:`\beta` of the terms of the latent variables: a number, or a
            :class:`~ppl_vae.objectives.Schedule` over steps. At any other value than one the
            loss is no bound; the metrics are those of the true ELBO all the same.
        vectorized: Whether all particles are drawn at once. Programs that reshape their draws
            need False, which loops.
        max_plate_nesting: The number of nested plates of the programs, found out if None.

    Raises:
        ValueError: If there is no particle, or the weight is negative.
    """

    def __init__(
        self,
        particles: int = 1,
        kl_weight: float | Schedule = 1.0,
        vectorized: bool = True,
        max_plate_nesting: int | None = None,
    ) -> None:
        nn.Module.__init__(self)

        if particles < 1:
            raise ValueError(f"{type(self).__name__} needs one particle or more, got {particles}.")
        _check_weight(kl_weight)

        nesting = float("inf") if max_plate_nesting is None else max_plate_nesting
        pyro.infer.ELBO.__init__(
            self, num_particles=particles, vectorize_particles=vectorized, max_plate_nesting=nesting
        )
        self.particles = particles
        self.vectorized = vectorized
        self.nesting = max_plate_nesting
        self._clock = _Clock()
        self._plates = _Plates()
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))
        self.follow("beta", kl_weight)
        self.register_load_state_dict_post_hook(_recount)

    step: Tensor
    beta: Tensor

    def follow(self, name: str, number: float | Schedule) -> None:
        r"""Keeps a number, or what a schedule says of it, as a buffer.

        A number at a step is a tensor, so that a captured loss follows it.

        Arguments:
            name: The name of the buffer.
            number: The number, or its schedule.
        """
        self._clock.numbers[name] = number
        self.register_buffer(name, torch.tensor(_at(number, 0)))

    @property
    def schedules(self) -> dict[str, Schedule]:
        r"""The schedules that it follows, by the name of the buffer."""
        numbers = self._clock.numbers.items()
        return {name: number for name, number in numbers if isinstance(number, Schedule)}

    @property
    def kl_weight(self) -> float | Schedule:
        r"""The weight :math:`\beta`, or its schedule; it may be changed during a training."""
        return self._clock.numbers["beta"]

    @kl_weight.setter
    def kl_weight(self, kl_weight: float | Schedule) -> None:
        if not self.weighted and kl_weight != 1.0:
            raise ValueError(
                f"{type(self).__name__} has no weight of the KL term; train by another objective, "
                "or without warm-up."
            )
        _check_weight(kl_weight)
        self._clock.numbers["beta"] = kl_weight
        self.beta.fill_(_at(kl_weight, self._clock.count))

    @abstractmethod
    def loss_of(self, weights: Weights) -> Tensor:
        r"""
        Arguments:
            weights: The weights of a batch of :math:`n` data.

        Returns:
            The loss, summed over the batch and times ``weights.scale``: a 0-dimensional tensor.
        """

    def estimate(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> Estimate:
        r"""Draws once and returns the loss together with the metrics."""
        weights = self.weights(model, guide, *args, **kwargs)
        return Estimate(
            loss=self.loss_of(weights),
            metrics=self.metrics_of(weights),
            size=weights.n * weights.scale,
        )

    def tightened(self, weights: Weights) -> Tensor | None:
        r"""The bound of each datum, with all weights at one, where it is tighter than the ELBO.

        Returns:
            A tensor with shape ``(n,)``, or None.
        """
        return None

    def metrics_of(self, weights: Weights) -> dict[str, Tensor]:
        r"""What is told of a batch besides the loss: :func:`elbo_terms`, and ``bound``, by which
        epochs are judged, where it is a tighter one than the ELBO."""
        with torch.no_grad():
            bound = None if weights.global_sites else self.tightened(weights)
        terms = elbo_terms(weights)
        return terms if bound is None else {**terms, "bound": bound.mean()}

    def players(self) -> list[Role]:
        r"""The players, in the order of their steps: one that trains all by default."""
        return [Role("all", ("model", "guide", "objective"), self.estimate)]

    eager: str | None = None
    r"""Why the loss cannot be captured, if it cannot."""

    bound: str = "none"
    r"""What the value is to :math:`\log p(x)`, the same for each number of particles unless it says
    otherwise: ``"lower"`` for a lower bound, ``"upper"`` for an upper one, ``"none"``."""

    judged_by: str = "bound"
    r"""What tells a better epoch: the ``"bound"`` (its own, or the ELBO), the ``"loss"``, or that
    it is the ``"last"``, where losses of two epochs are not of one objective."""
    weighted: bool = True
    r"""Whether it has a weight of the KL term, which a warm-up may raise."""
    reparameterized: bool = False
    r"""Whether all latent sites have to be reparameterized."""
    implicit: bool = False
    r"""Whether the guide may draw from what has no density."""

    total: int | None = None
    r"""The number :math:`N` of data of the training set; :func:`~ppl_vae.fit` tells it."""

    @property
    def draws(self) -> int:
        r"""The number of draws for each datum."""
        return self.particles

    def weights(
        self, model: Program, guide: Program, *args: Any, detached: bool = False, **kwargs: Any
    ) -> Weights:
        r"""Draws the weights of a batch; the draws carry no gradient if they are to be detached."""
        batch = Arguments(args, kwargs)
        return log_weights(
            model,
            guide,
            batch,
            self.draws,
            vectorized=self.vectorized,
            depth=self.depth_of(model, guide, batch) if self.draws > 1 else None,
            lenient=self.lenient,
            detached=detached,
            implicit=self.implicit,
        )

    def depth_of(self, model: Program, guide: Program, batch: Arguments) -> int:
        r"""The number of nested plates, found out once for a pair of programs."""
        if self.nesting is not None:
            return self.nesting
        if not self._plates.of(model, guide):
            self._plates = _Plates(model, guide, plate_depth(model, guide, batch))

        return self._plates.depth

    def check(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> None:
        r"""Runs a batch through every check of programs and data, with one particle.

        Raises:
            ValueError: As :func:`~ppl_vae.weights.log_weights`.
        """
        batch = Arguments(args, kwargs)
        log_weights(model, guide, batch, lenient=self.lenient, implicit=self.implicit)

    lenient = False
    r"""Whether data outside of a support are let through where the program says so."""

    @property
    def done(self) -> int:
        r"""The number of steps done, for which the device is not waited for."""
        return self._clock.count

    def advance(self) -> None:
        r"""Moves schedules on by one step; :class:`~ppl_vae.svi.SVI` calls it after each.

        What else a subclass moves has to be a buffer, changed in place, or it is captured anew.
        """
        self.step.add_(1)
        self._clock.count += 1

        for name, schedule in self.schedules.items():
            getattr(self, name).fill_(schedule(self._clock.count))

    def seek(self, step: int) -> None:
        r"""Moves schedules to a step."""
        self.step.fill_(step)
        self._clock.count = step

        for name, number in self._clock.numbers.items():
            getattr(self, name).fill_(_at(number, step))

    def differentiable_loss(
        self, model: Program, guide: Program, *args: Any, **kwargs: Any
    ) -> Tensor:
        r"""Returns the loss, summed over the batch, whose gradient is the estimator's."""
        return self.estimate(model, guide, *args, **kwargs).loss

    def loss(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> Tensor:
        r"""Returns the loss, summed over the batch, without gradient."""
        with torch.no_grad():
            return self.estimate(model, guide, *args, **kwargs).loss

    def loss_and_grads(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> Tensor:
        r"""Returns the loss, adds to the gradients, and moves schedules on."""
        loss = self.differentiable_loss(model, guide, *args, **kwargs)

        if loss.requires_grad:
            loss.backward()

        self.advance()
        return loss.detach()

    def _get_trace(self, model: Program, guide: Program, args: Any, kwargs: Any) -> Any:
        # Pyro's base class asks for it; our losses read traces in log_weights alone.
        return get_importance_trace("flat", self.max_plate_nesting, model, guide, args, kwargs)

    def extra_repr(self) -> str:
        return f"particles={self.particles}, kl_weight={self.kl_weight}"


class _Clock:
    r"""What Python knows of schedules, so that it does not wait for the device.

    It is an object of its own, which staging does not watch: numbers reach a captured loss as
    tensors.
    """

    __watched__ = False

    def __init__(self) -> None:
        self.numbers: dict[str, float | Schedule] = {}
        self.count = 0


class _Plates:
    r"""The number of nested plates of a pair of programs, which it does not keep alive."""

    __watched__ = False

    def __init__(self, model: Any = None, guide: Any = None, depth: int = 0) -> None:
        self.depth = depth
        self._programs = [None if p is None else weakref.ref(p) for p in (model, guide)]

    def of(self, model: Program, guide: Program) -> bool:
        r"""Whether the number is that of these programs."""
        known = [None if p is None else p() for p in self._programs]
        return known[0] is model and known[1] is guide


def _at(number: float | Schedule, step: int) -> float:
    return float(number(step) if isinstance(number, Schedule) else number)


def _check_weight(kl_weight: float | Schedule) -> None:
    if not isinstance(kl_weight, Schedule) and not kl_weight >= 0:
        raise ValueError(f"The KL weight must not be negative, got {kl_weight}.")


def _recount(objective: Objective, _: Any) -> None:
    # The numbers are those that it was built with, whatever they were where the state comes from.
    objective.seek(int(objective.step))
