r"""Optimizers: torch's, by instance or by constructor, and Pyro's."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import pyro.optim
import torch
from pyro.optim.lr_scheduler import PyroLRScheduler
from torch import Tensor, nn

__all__ = ["Optimizer", "build_optimizer"]

Optimizer = (
    torch.optim.Optimizer
    | Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]
    | pyro.optim.PyroOptim
)


def build_optimizer(optimizer: Any, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    r"""Returns one optimizer of torch for all parameters.

    Pyro keeps an optimizer for each parameter, which is slow; one of
    :class:`pyro.optim.PyroOptim` with fixed arguments becomes a single one. Adam and AdamW
    take torch's fused kernel from their first step on, unless ``fused`` or ``foreach`` is given.

    Example:
        >>> weight = nn.Parameter(torch.zeros(3))
        >>> type(build_optimizer(pyro.optim.Adam({"lr": 1e-3}), [weight])).__name__
        'Adam'

    Arguments:
        optimizer: An optimizer, a function that builds one from parameters, such as
            ``partial(torch.optim.Adam, lr=1e-3)``, or an optimizer of Pyro.
        parameters: The parameters to optimize.

    Raises:
        ValueError: If there is nothing to optimize, for LBFGS, or if Pyro's optimizer does more
            than optimize with fixed arguments.
    """
    if not parameters:
        raise ValueError(
            "The programs have no parameters that require gradients; there is nothing to train."
        )

    if isinstance(optimizer, torch.optim.Optimizer):
        held = {id(p) for group in optimizer.param_groups for p in group["params"]}
        if left := sum(id(p) not in held for p in parameters):
            raise ValueError(
                f"The optimizer leaves out {left} of the {len(parameters)} parameters of model and "
                "guide; give a function that builds it from all, such as lambda p: "
                "torch.optim.Adam(p, lr=1e-3), or freeze those that should stay."
            )
        _fuse(optimizer)
        return optimizer

    if isinstance(optimizer, pyro.optim.PyroOptim):
        if isinstance(optimizer, PyroLRScheduler) or optimizer.pt_clip_args:
            raise ValueError(
                "Give an optimizer of Pyro without scheduler and clip_args; fit takes a scheduler "
                "of torch, and SVI takes clip."
            )
        if not isinstance(optimizer.pt_optim_args, dict):
            raise ValueError(
                "The arguments of Pyro's optimizer depend on the parameter; give parameter groups "
                "to an optimizer of torch instead."
            )
        constructor: Any = optimizer.pt_optim_constructor
        optimizer = partial(constructor, **optimizer.pt_optim_args)

    build: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer] = optimizer
    built = build(parameters)

    if isinstance(built, torch.optim.LBFGS):
        raise ValueError(
            "LBFGS evaluates the loss several times a step, with other draws each time; take an "
            "optimizer of one evaluation, such as Adam."
        )

    _fuse(built)
    return built


def _fuse(optimizer: torch.optim.Optimizer) -> None:
    # Adam and AdamW, unless told how, take the fused kernel: the fastest, and that which staging
    # calls. On a CPU torch's own choice would be a loop over the parameters.
    if type(optimizer) not in (torch.optim.Adam, torch.optim.AdamW) or optimizer.state:
        return

    for group in optimizer.param_groups:
        told = any(group[name] is not None for name in ("fused", "foreach"))
        special = group["capturable"] or group["differentiable"] or isinstance(group["lr"], Tensor)
        plain = all(
            p.is_floating_point() and p.device.type in ("cpu", "cuda") for p in group["params"]
        )
        if plain and not told and not special:
            group["fused"] = True
