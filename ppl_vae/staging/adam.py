r"""Adam on raw tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["Adam"]


class Adam:
    r"""The update of :class:`torch.optim.Adam` or ``AdamW``, on the tensors of its own state.

    .. math::
        m & \leftarrow \beta_1 m + (1 - \beta_1) g \\
        v & \leftarrow \beta_2 v + (1 - \beta_2) g^2 \\
        \theta & \leftarrow \theta - \eta \, \hat{m} / (\sqrt{\hat{v}} + \epsilon)

    :meth:`update` is the fused kernel that the optimizer would call, to the bit, without what it
    does in Python around it; :meth:`inline` is the same arithmetic in plain operations, to be
    captured.

    References:
        | Adam: A Method for Stochastic Optimization (Kingma & Ba, 2015)
        | https://arxiv.org/abs/1412.6980

        | Decoupled Weight Decay Regularization (Loshchilov & Hutter, 2019)
        | https://arxiv.org/abs/1711.05101

    Arguments:
        optimizer: An optimizer that :meth:`takes` is true of.
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.optimizer = optimizer
        self.decoupled = bool(optimizer.param_groups[0].get("decoupled_weight_decay", False))

    @staticmethod
    def takes(optimizer: torch.optim.Optimizer) -> bool:
        r"""Whether the optimizer is Adam or AdamW with the fused kernel, and nothing hooked to it.

        Options that change the arithmetic (``amsgrad``, ``maximize``) are left to the optimizer.
        """
        plain = type(optimizer) in (torch.optim.Adam, torch.optim.AdamW)
        hooks = optimizer._optimizer_step_pre_hooks, optimizer._optimizer_step_post_hooks
        return (
            plain
            and not any(hooks)
            and all(
                group.get("fused")
                and not (group["amsgrad"] or group["maximize"] or group["differentiable"])
                for group in optimizer.param_groups
            )
        )

    def state(self, parameter: Tensor) -> dict[str, Tensor]:
        r"""The step, and the first and second moment, of a parameter; zeros at first."""
        state = self.optimizer.state[parameter]

        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)

        return state

    def _start(self, held: Sequence[Tensor]) -> None:
        # On a CPU adding one to each of many tensors costs more than it should: the steps of
        # parameters that start together are elements of one tensor.
        if held[0].device.type != "cpu" or any(self.optimizer.state[p] for p in held):
            return

        steps = torch.zeros(len(held), dtype=torch.float32)
        for parameter, step in zip(held, steps.unbind(), strict=True):
            self.state(parameter)["step"] = step

    def groups(
        self, parameters: Sequence[Tensor], gradients: Sequence[Tensor | None]
    ) -> Iterator[tuple[int, dict[str, Any], list[Tensor], list[Tensor]]]:
        r"""The groups of the optimizer by number, each with its parameters and their gradients."""
        # Schedulers look whether there was a step.
        self.optimizer._opt_called = True  # type: ignore[attr-defined]
        pairs = zip(parameters, gradients, strict=True)
        given = {id(p): g for p, g in pairs if g is not None}

        for i, group in enumerate(self.optimizer.param_groups):
            held = [p for p in group["params"] if id(p) in given]
            if held:
                yield i, group, held, [given[id(p)] for p in held]

    @torch.no_grad()
    def update(
        self,
        parameters: Sequence[Tensor],
        gradients: Sequence[Tensor | None],
        rates: Mapping[int, Tensor] | None = None,
        bad: Tensor | None = None,
    ) -> None:
        r"""Takes a step.

        Arguments:
            parameters: The parameters.
            gradients: Their gradients.
            rates: The learning rate of each group as a tensor, instead of the group's own; shape
                ``(3,)`` as for :meth:`inline`, of which the first element is taken.
            bad: One where no step is to be taken, else zero: a 0-dimensional float32 tensor.
        """
        kernel: Any = torch._fused_adamw_ if self.decoupled else torch._fused_adam_

        for i, group, held, given in self.groups(parameters, gradients):
            self._start(held)
            states = [self.state(p) for p in held]
            steps = [state["step"] for state in states]
            moments = ([state[key] for state in states] for key in ("exp_avg", "exp_avg_sq"))
            _add(steps, 1)
            kernel(
                held,
                given,
                *moments,
                [],
                steps,
                lr=group["lr"] if rates is None else rates[i][0],
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                amsgrad=False,
                maximize=False,
                found_inf=bad,
            )
            if bad is not None:
                torch._foreach_sub_(steps, [bad] * len(steps))  # the step was none

    @torch.no_grad()
    def inline(
        self,
        parameters: Sequence[Tensor],
        gradients: Sequence[Tensor | None],
        rates: Mapping[int, Tensor],
        good: Tensor,
    ) -> None:
        r"""Takes a step, where all is well.

        Arguments:
            parameters: The parameters.
            gradients: Their gradients.
            rates: :math:`\eta, \beta_1, \beta_2` of each group, with shape ``(3,)``.
            good: Whether to take the step at all: a 0-dimensional tensor.
        """
        for i, group, held, given in self.groups(parameters, gradients):
            for parameter, gradient in zip(held, given, strict=True):
                self._inline(parameter, gradient, group, rates[i], good)

    def _inline(
        self, p: Tensor, g: Tensor, group: dict[str, Any], rates: Tensor, good: Tensor
    ) -> None:
        state, (rate, b1, b2) = self.state(p), rates.unbind()
        m, v, t = state["exp_avg"], state["exp_avg_sq"], state["step"]
        decay = group["weight_decay"]
        old = p.detach()
        g = g + decay * old if decay and not self.decoupled else g
        start = old * (1 - rate * decay) if decay and self.decoupled else old

        step = t.to(rates) + 1
        first = m + (1 - b1) * (g - m)
        second = v * b2 + (1 - b2) * (g * g)
        size = rate / (1 - b1.pow(step))
        root = second.sqrt() / (1 - b2.pow(step)).sqrt() + group["eps"]
        new = start - size * first / root

        for place, value, before in ((p, new, old), (m, first, m), (v, second, v), (t, step, t)):
            place.copy_(torch.where(good, value.to(place.dtype), before))


def _add(steps: list[Tensor], value: int) -> None:
    base = steps[0]._base

    if base is not None and len(base) == len(steps) and all(s._base is base for s in steps):
        base.add_(value)
    else:
        torch._foreach_add_(steps, value)
