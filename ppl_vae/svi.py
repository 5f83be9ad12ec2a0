r"""Stochastic variational inference: one step."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from pyro import poutine
from torch import Tensor, nn

from .modules import evaluating, modules_of, preserving
from .nonfinite import NonFiniteError, explain
from .objectives import ELBO, Estimate, Objective, as_objective
from .optimizer import Optimizer, build_optimizer
from .weights import Arguments, Program

__all__ = ["SVI"]


class SVI:
    r"""Follows the gradient of an objective, as :class:`pyro.infer.SVI`, but per datum.

    Example:
        >>> from functools import partial
        >>> from ppl_vae.guides import Amortized
        >>> from ppl_vae.models import Linear
        >>> model = Linear(features=5, latent=2)
        >>> x = model(n=100).detach()
        >>> svi = SVI(model, Amortized(model.posterior), partial(torch.optim.Adam, lr=1e-2))
        >>> svi.step(x).shape
        torch.Size([])

    References:
        | Stochastic Variational Inference (Hoffman et al., 2013)
        | https://arxiv.org/abs/1206.7051

    Arguments:
        model: The program :math:`p(x, z)`; any callable of Pyro.
        guide: The program :math:`q(z \mid x)`; any callable of Pyro.
        optimizer: An optimizer of torch, a function that builds one from parameters, or an
            optimizer of Pyro.
        objective: An objective of this library or of Pyro; the ELBO if None.
        clip: The largest norm of the gradient, above which it is scaled down.

    Raises:
        ValueError: If ``clip`` is not positive.
    """

    def __init__(
        self,
        model: Program,
        guide: Program,
        optimizer: Optimizer,
        objective: Any = None,
        *,
        clip: float | None = None,
    ) -> None:
        if clip is not None and clip <= 0:
            raise ValueError(f"The largest norm of the gradient must be positive, got {clip}.")

        self.model = model
        self.guide = guide
        self.objective: Objective = ELBO() if objective is None else as_objective(objective)
        self.clip = clip
        self.steps = 0
        self.metrics: dict[str, Tensor] = {}
        r"""The terms of the true ELBO at the last step, in nats per datum."""
        self.parameters: dict[str, nn.Parameter] = {}
        r"""The parameters by name, once the first step has found them."""
        self._build = optimizer
        self._optimizer: torch.optim.Optimizer | None = None

    @property
    def prepared(self) -> bool:
        r"""Whether the parameters are known, and the optimizer is built."""
        return self._optimizer is not None

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        r"""The optimizer of all parameters.

        Raises:
            ValueError: Before the first step, or :meth:`prepare`, has found the parameters.
        """
        if self._optimizer is None:
            raise ValueError("The parameters are not known yet; call prepare(batch), or step.")

        return self._optimizer

    def prepare(self, *args: Any, **batch: Any) -> None:
        r"""Finds the parameters and builds the optimizer, from one run of the programs.

        The first step does it by itself. Random states and buffers are left as they were.
        """
        programs = self.model, self.guide
        with preserving(*programs), torch.no_grad(), poutine.trace(param_only=True) as trace:
            self.objective.estimate(*programs, *args, **batch)

        named = {
            f"{role}.{name}": parameter
            for role, program in (("model", self.model), ("guide", self.guide))
            for module in modules_of(program)
            for name, parameter in module.named_parameters()
        }
        for name, site in trace.trace.nodes.items():
            value: Any = site["value"]
            named[f"param.{name}"] = (
                value.unconstrained() if hasattr(value, "unconstrained") else value
            )

        seen: dict[int, str] = {}
        for name, parameter in named.items():
            if parameter.requires_grad:
                seen.setdefault(id(parameter), name)

        self.parameters = {name: named[name] for name in seen.values()}
        self._optimizer = build_optimizer(self._build, list(self.parameters.values()))

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
                parameters are left as they were.
        """
        if self._optimizer is None:
            self.prepare(*args, **batch)

        watched = next(iter(self.parameters.values())).device.type == "cpu"
        random = torch.get_rng_state() if watched else None

        try:
            estimate = self._gradient(*args, **batch)
        except (ValueError, RuntimeError) as error:
            # Validation, or a factorization, may refuse such parameters before there is a loss.
            if watched and not all(p.isfinite().all() for p in self.parameters.values()):
                raise NonFiniteError(self._explain(random, *args, **batch)) from error
            raise

        loss = estimate.loss.detach() / estimate.size

        if watched and not loss.isfinite():
            raise NonFiniteError(self._explain(random, *args, **batch))
        if self.clip is not None:
            nn.utils.clip_grad_norm_(self.parameters.values(), self.clip)

        self.optimizer.step()
        self.objective.advance()
        self.steps += 1
        self.metrics = estimate.metrics
        return loss

    def evaluate(self, *args: Any, **batch: Any) -> Estimate:
        r"""Returns loss and metrics, in evaluation mode and without gradient."""
        with evaluating(self.model, self.guide, self.objective):
            return self.objective.estimate(self.model, self.guide, *args, **batch)

    def evaluate_loss(self, *args: Any, **batch: Any) -> Tensor:
        r"""Returns the loss, in nats per datum, and changes nothing."""
        estimate = self.evaluate(*args, **batch)
        return estimate.loss / estimate.size

    def _gradient(self, *args: Any, **batch: Any) -> Estimate:
        self.optimizer.zero_grad(set_to_none=True)
        estimate = self.objective.estimate(self.model, self.guide, *args, **batch)

        if estimate.loss.requires_grad:
            (estimate.loss / estimate.size).backward()
        else:
            # Some of Pyro's objectives have added the gradient of the sum already.
            for parameter in self.parameters.values():
                if parameter.grad is not None:
                    parameter.grad /= estimate.size

        return estimate

    def _explain(self, random: Tensor | None, *args: Any, **batch: Any) -> str:
        with torch.random.fork_rng(devices=[]) if random is not None else nullcontext():
            if random is not None:
                torch.set_rng_state(random)
            cause = explain(self.model, self.guide, Arguments(args, batch), self.parameters)

        return f"The loss is not finite at step {self.steps + 1}: {cause}"
