r"""Which way steps are taken."""

from __future__ import annotations

from ..staging import choose
from ..weights import Arguments
from .base import Way
from .fused import FusedSteps
from .gradient import GradientSteps
from .graphed import GraphedSteps
from .setting import Setting

__all__ = ["choose_way"]

FEW = 300
r"""The number of steps below which programs are run some times before they are captured."""

PATIENCE = 20
r"""How many times: a capture costs as much as replay saves in some hundred steps."""


def choose_way(
    setting: Setting, given: Arguments, backend: str, planned: int | None
) -> tuple[str, Way]:
    r"""Decides by shapes and numbers, never by a clock.

    Arguments:
        setting: What a step works on.
        given: What a step is called with.
        backend: What is asked for; ``"auto"`` to pick.
        planned: The number of steps to come; None if it is not known.

    Returns:
        The backend that is taken, and the way.
    """
    device = setting.players[0].parameters[0].device
    if backend == "off" or (backend == "auto" and device.type not in ("cpu", "cuda")):
        return "off", GradientSteps(setting, "off")

    unplanned = backend == "auto" and (planned is None or planned < FEW)
    replayed = GradientSteps(setting, "fx", PATIENCE if unplanned else 0)

    if unplanned and device.type == "cpu":
        return "fx", replayed

    # What cannot be captured is found out here, once.
    entries = [staged.entry(*given.args, **given.kwargs) for staged in replayed.passes]
    if None in entries:
        return "off", replayed
    if backend == "auto":
        backend = choose([entry.graph for entry in entries if entry], planned, device)
    if backend == "cudagraph" and GraphedSteps.takes(setting):
        return backend, GraphedSteps(setting, "inductor")
    if backend == "fx":
        return backend, replayed

    way = FusedSteps(setting, replayed) if FusedSteps.takes(setting) else None
    return "inductor", way or GradientSteps(setting, "inductor")
