r"""The law of replay: captured steps have the numbers of the programs, to the bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ppl_vae.svi import SVI

__all__ = ["assert_replayed"]


def assert_replayed(
    programs: Callable[[], Any], objective: Callable[[], Any], optimizer: Callable[..., Any]
) -> None:
    r"""Six steps, of batches of two shapes: losses, metrics and parameters are equal."""
    found = []

    for backend in ("off", "fx"):
        torch.manual_seed(0)
        model, guide, x = programs()
        svi = SVI(model, guide, optimizer, objective(), compile=backend)
        torch.manual_seed(1)
        rows = []
        for i in range(6):
            rows.append({"loss": svi.step(x if i % 3 else x[:-1])} | svi.metrics)
        found.append((rows, [p.detach().clone() for p in svi.parameters.values()]))
        assert (svi.backend, svi.reason) == (backend, None)

    for mine, theirs in zip(found[0][0], found[1][0], strict=True):
        assert mine.keys() == theirs.keys() and all(mine[k].equal(theirs[k]) for k in mine)
    assert all(a.equal(b) for a, b in zip(found[0][1], found[1][1], strict=True))
