r"""Stochastic variational inference: one step, or several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from pyro.poutine.runtime import am_i_wrapped
from torch import Tensor, nn

from .modules import evaluating, preserving
from .nonfinite import NonFiniteError, explain
from .objectives import ELBO, Estimate, Objective, Role, as_objective
from .optimizer import Optimizer, build_optimizer
from .parameters import find_parameters
from .player import Player
from .precision import check_precision, products, programs
from .staging import check_backend
from .steps import Feed, GradientSteps, Row, Setting, Stopped, Way, choose_way
from .weights import Arguments, Program

__all__ = ["SVI"]


class SVI:
    r"""Follows the gradient of an objective, as :class:`pyro.infer.SVI`, but per datum and staged.

    The programs are run through Pyro a few times for each shape of their batches; afterwards the
    graph of what they did is replayed, or compiled: the same numbers, faster. A program
    that cannot be staged runs as it is, and a warning says why.

    Example:
        >>> from functools import partial
        >>> from ppl_vae.guides import Amortized
        >>> from ppl_vae.models import Linear
        >>> model = Linear(features=5, latent=2)
        >>> x = model(n=100).detach()
        >>> svi = SVI(model, Amortized(model.posterior), partial(torch.optim.Adam, lr=1e-2))
        >>> svi.step(x).shape
        torch.Size([])
        >>> svi.backend
        'fx'

    References:
        | Stochastic Variational Inference (Hoffman et al., 2013)
        | https://arxiv.org/abs/1206.7051

    Arguments:
        model: The program :math:`p(x, z)`; any callable of Pyro.
        guide: The program :math:`q(z \mid x)`; any callable of Pyro.
        optimizer: An optimizer of torch, a function that builds one from parameters, or an
            optimizer of Pyro. Adam and AdamW take their fused kernel, unless told otherwise.
        objective: An objective of this library or of Pyro; the ELBO if None.
        clip: The largest norm of the gradient, above which it is scaled down.
        compile: ``"off"`` runs the programs at each step; ``"fx"`` replays their operations, to
            the bit; ``"inductor"`` compiles them, equal up to rounding; ``"cudagraph"`` puts
            the compiled step into one CUDA graph; ``"auto"`` picks one before the first step, by
            the shapes and the planned number of steps.
        precision: ``"float32"``; ``"bf16"`` for bfloat16 in the networks, float32 elsewhere; on
            a GPU ``"tf32"`` for TensorFloat-32 in matrix products.

    Raises:
        ValueError: If ``clip`` is not positive, or ``compile`` or ``precision`` is unknown.
    """

    def __init__(
        self,
        model: Program,
        guide: Program,
        optimizer: Optimizer,
        objective: Any = None,
        *,
        clip: float | None = None,
        compile: str = "auto",
        precision: str = "float32",
    ) -> None:
        if clip is not None and clip <= 0:
            raise ValueError(f"The largest norm of the gradient must be positive, got {clip}.")
        check_backend(compile)
        check_precision(precision)

        self.model = model
        self.guide = guide
        self.objective: Objective = ELBO() if objective is None else as_objective(objective)
        self.clip = clip
        self.compile = compile
        self.precision = precision
        self.steps = 0
        self.metrics: dict[str, Tensor] = {}
        r"""The terms of the true ELBO at the last step, in nats per datum."""
        self.parameters: dict[str, nn.Parameter] = {}
        r"""The parameters by name, once the first step has found them."""
        self.players: list[Player] = []
        r"""Who follows which gradient; one for all parameters, unless the objective has more."""
        self.backend: str | None = None
        r"""How steps are taken, once that is decided: off, fx, inductor or cudagraph."""
        self._build = optimizer
        self._bare: list[str] = []
        self._ways: dict[int, tuple[Feed | None, Way]] = {}

    @property
    def prepared(self) -> bool:
        r"""Whether the parameters are known, and the optimizers are built."""
        return bool(self.players)

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        r"""The optimizer of all parameters; of the first player's, if there are several.

        Raises:
            ValueError: Before the first step, or :meth:`prepare`, has found the parameters.
        """
        if not self.players:
            raise ValueError("The parameters are not known yet; call prepare(batch), or step.")

        return self.players[0].optimizer

    @property
    def several(self) -> int:
        r"""How many steps :meth:`run` is best asked for at once."""
        return max((way.several for _, way in self._ways.values()), default=1)

    @property
    def _steady(self) -> bool:
        # What an objective of the user's moves between two steps, nobody knows.
        return type(self.objective).advance is Objective.advance

    @property
    def reason(self) -> str | None:
        r"""Why steps run eagerly or uncompiled although they should not, if they do."""
        return next((way.reason for _, way in self._ways.values() if way.reason), None)

    def prepare(self, *args: Any, **batch: Any) -> None:
        r"""Finds the parameters and builds the optimizers, from one run of the programs.

        The first step does it by itself. Random states and buffers are left as they were.
        """
        found = find_parameters(self.model, self.guide, self.objective, Arguments(args, batch))
        self.parameters, self._bare = found.named, found.bare
        roles = self.objective.players()
        if len(roles) > 1 and isinstance(self._build, torch.optim.Optimizer):
            raise ValueError(
                f"{type(self.objective).__name__} has {len(roles)} players with an optimizer each; "
                "give a function that builds one, such as partial(torch.optim.Adam, lr=1e-3)."
            )
        parts = found.shared_out(self.objective)
        self.players = [self._player(*pair) for pair in zip(roles, parts, strict=True)]
        # A graph on a GPU cannot read what stays on the CPU.
        self.objective.to(next(iter(self.parameters.values())).device)

    def _player(self, role: Role, held: dict[str, nn.Parameter]) -> Player:
        optimizer = build_optimizer(self._build, list(held.values()))
        device = next(iter(held.values())).device
        check_precision(self.precision, device)
        check_backend(self.compile, device)
        return Player(
            role.name,
            held,
            optimizer,
            partial(role.estimate, self.model, self.guide),
            self.clip,
            partial(programs, self.precision, device),
            role.turn,
        )

    def plan(self, steps: int, feed: Feed | None = None, /, *args: Any, **batch: Any) -> str:
        r"""Decides how steps are taken, and captures or compiles the programs before the first.

        :func:`~ppl_vae.fit` calls it; without it, the first step decides, not knowing how many
        are to come.

        Arguments:
            steps: The number of steps to come.
            feed: A function from tensors to a batch, as for :meth:`run`; None for :meth:`step`.
            args: What steps will be called with, by position.
            batch: What steps will be called with, by name.

        Returns:
            The way: ``"off"``, ``"fx"``, ``"inductor"`` or ``"cudagraph"``.
        """
        given = Arguments(args, batch)
        self._way(feed, given, steps)
        assert self.backend is not None
        return self.backend

    def step(self, *args: Any, **batch: Any) -> Tensor:
        r"""Takes one step.

        Arguments:
            args: What both programs are called with, by position.
            batch: What both programs are called with, by name.

        Returns:
            The loss before the step, in nats per datum: a 0-dimensional tensor, for which the
            device was not waited for.

        Raises:
            NonFiniteError: If the loss is not finite (on a CPU, where looking costs nothing); the
                parameters are left as they were, but for those of players that went before.
        """
        (row,) = self._take(None, [Arguments(args, batch)])
        self.metrics = {name: value for name, value in row.items() if name != "loss"}
        return row["loss"]

    def run(self, feed: Feed, inputs: Tensor) -> dict[str, Tensor]:
        r"""Takes several steps, the batches of which are made where the programs run.

        It does what :meth:`step` does ``S`` times on the batches ``feed(inputs[s])``, but making
        the batch (picking rows, binarizing) is captured with the step.

        Arguments:
            feed: A function of a tensor to the batch, by name; always the same object.
            inputs: What it is called with, with shape ``(S, *)``, such as indices of rows.

        Returns:
            The losses and the metrics before each step, each with shape ``(S,)``.

        Raises:
            NonFiniteError: As :meth:`step`.
        """
        if not isinstance(inputs, Tensor) or inputs.ndim == 0 or len(inputs) == 0:
            raise ValueError(
                "SVI.run takes a tensor with one row for each step, one at least; got "
                f"{tuple(inputs.shape) if isinstance(inputs, Tensor) else type(inputs).__name__}."
            )

        calls = [Arguments((part,), {}) for part in inputs.unbind()]
        several = len(calls) if self._steady else 1
        parts = [calls[i : i + several] for i in range(0, len(calls), several)]
        rows = [row for part in parts for row in self._take(feed, part)]
        self.metrics = {name: value for name, value in rows[-1].items() if name != "loss"}
        return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}

    def evaluate(self, *args: Any, **batch: Any) -> Estimate:
        r"""Returns loss and metrics, in evaluation mode and without gradient."""
        with evaluating(self.model, self.guide, self.objective):
            return self.objective.estimate(self.model, self.guide, *args, **batch)

    def evaluate_loss(self, *args: Any, **batch: Any) -> Tensor:
        r"""Returns the loss, in nats per datum, and changes nothing."""
        estimate = self.evaluate(*args, **batch)
        return estimate.loss / estimate.size

    def _take(self, feed: Feed | None, calls: Sequence[Arguments]) -> list[Row]:
        way = self._way(feed, calls[0])
        if am_i_wrapped():
            # A handler of Pyro around the step is no part of any graph.
            way = GradientSteps(self._setting(feed), "off")

        try:
            with products(self.precision):
                rows = way.take(calls)
        except Stopped as stopped:
            done, failed = stopped.index, calls[stopped.index]
            self.steps += done
            raise NonFiniteError(self._explain(feed, failed, stopped.random)) from None
        except (ValueError, RuntimeError) as error:
            # Validation, or a factorization, may refuse such parameters before there is a loss.
            if not all(p.isfinite().all() for p in self.parameters.values()):
                raise NonFiniteError(self._explain(feed, calls[0], None)) from error
            raise

        if self.backend == "fx" and isinstance(way, GradientSteps) and way.eager:
            self.backend = "off"
        self.steps += len(rows)
        return rows

    def _way(self, feed: Feed | None, given: Arguments, planned: int | None = None) -> Way:
        if id(feed) in self._ways:
            return self._ways[id(feed)][1]

        if not self.prepared:
            with preserving(self.model, self.guide):
                args, batch = _batch(feed, given)
                self.prepare(*args, **batch)
        elif feed is not None:
            with preserving(self.model, self.guide), torch.no_grad():
                _batch(feed, given)  # what it returns is looked at before it is captured

        with products(self.precision):
            known = self.backend or self.compile
            self.backend, way = choose_way(self._setting(feed), given, known, planned)
            way.stage(given)

        # One feed at a time: it may hold a data set.
        self._ways = {k: v for k, v in self._ways.items() if v[0] is None or feed is None}
        self._ways[id(feed)] = feed, way
        return way

    def _setting(self, feed: Feed | None) -> Setting:
        return Setting((self.model, self.guide), self.objective, self.players, feed, self._bare)

    def _explain(self, feed: Feed | None, failed: Arguments, random: Tensor | None) -> str:
        with torch.random.fork_rng(devices=[]) if random is not None else nullcontext():
            if random is not None:
                torch.set_rng_state(random)
            cause = explain(self.model, self.guide, _batch(feed, failed), self.parameters)

        return f"The loss is not finite at step {self.steps + 1}: {cause}"


def _batch(feed: Feed | None, given: Arguments) -> Arguments:
    if feed is None:
        return given

    batch = feed(*given.args, **given.kwargs)
    if not isinstance(batch, Mapping):
        raise ValueError(
            "The feed of SVI.run must return the batch by name, such as {'x': x}, got "
            f"{type(batch).__name__}."
        )
    return Arguments((), batch)
