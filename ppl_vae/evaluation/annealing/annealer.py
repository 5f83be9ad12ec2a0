r"""Running chains for blocks of data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any

import pyro
import torch
from torch import Tensor

from ...modules import evaluating, home_of, preserving
from ...staging import check_backend
from ...weights import Program, log_weights
from ..rows import Rows
from ..seeds import mix
from .annealed import weighted
from .chain import Watcher, forward, pilot
from .from_prior import FromPrior
from .path import Path
from .point import Point
from .schedule import schedule
from .settings import Settings
from .sizes import StepSizes

__all__ = ["Annealer", "Kept", "Told"]

BLOCK = 50
r"""The number of data whose chains are run together, from one seed."""

Kept = MutableMapping[int, dict[str, Tensor]]
r"""Finished blocks by number."""

Block = Callable[[slice, Any, StepSizes, "Told"], dict[str, Tensor]]
r"""From which of the data they are, the data, their step sizes and what tells of progress."""


class Annealer:
    r"""Runs chains for blocks of data.

    Arguments:
        model: The program :math:`p(x, z)`.
        guide: The program :math:`q(z \mid x)`; not asked where chains start from
            the prior.
        batch: The data.
        settings: How chains are run.
        memory: The number of bytes that intermediate results may take.
        compile: How gradients are run.

    Raises:
        ValueError: As :func:`annealed_evidence`.
    """

    def __init__(
        self,
        model: Program,
        guide: Program | None,
        batch: Mapping[str, Tensor] | Tensor,
        settings: Settings,
        memory: int,
        compile: str,
    ) -> None:
        if guide is None and settings.start == "guide":
            raise ValueError("Chains that start from the guide need one; start from the prior.")

        if guide is None or settings.start == "prior":
            guide = FromPrior(model)
        home = home_of(model, guide)
        self.programs, self.rows, self.settings = (model, guide), Rows(batch, home), settings
        self.compile, self.staged = compile, False

        if len(self.rows) == 0:
            raise ValueError("There are no data to evaluate; the batch is empty.")
        check_backend(compile, home)

        with _running(*self.programs):
            twice = _twice(self.rows[:1])
            self.path = Path(model, guide, twice, settings.start, memory)
            # On the CPU in double precision, which not every device has.
            self.betas = schedule(settings.steps, settings.spacing)

    def run(
        self,
        block: Block,
        kept: Kept | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> dict[str, Tensor]:
        r"""Runs a function over all blocks of data.

        Arguments:
            block: The function; the tensors it returns have the data last.
            kept: Finished blocks by number.
            progress: Called with numbers of data that are done, those of steps taken included.
        """
        kept = {} if kept is None else kept
        parts = []
        blocks = range(0, len(self.rows), BLOCK)

        with _running(*self.programs):
            for i, start in enumerate(blocks):
                part = slice(start, min(start + BLOCK, len(self.rows)))
                told = Told(part.stop - part.start, progress)
                if i not in kept:
                    kept[i] = self._block(block, i, part, told, len(blocks))
                parts.append(kept[i])
                told(1.0)

        return {name: torch.cat([part[name] for part in parts], -1) for name in parts[0]}

    def lower(
        self,
        part: slice,
        rows: Any,
        sizes: StepSizes,
        told: Told,
        *,
        share: float = 1.0,
        watch: Watcher | None = None,
    ) -> dict[str, Tensor]:
        r"""The fields of :class:`Annealed` for a block.

        Arguments:
            part: Which of the data they are.
            rows: The data.
            sizes: The step sizes.
            told: What tells of progress.
            share: The share of the block's work that this is.
            watch: Called at each power.
        """
        start = self.path.draw(rows, self.settings.chains)
        leapfrog, steps = self.settings.leapfrog, self.settings.steps

        def step(t: int, log_w: Tensor, point: Point) -> None:
            told(share * (t - 1) / steps)
            if watch is not None:
                watch(t, log_w, point)

        log_w, accept = forward(self.path, rows, start, self.betas, sizes, leapfrog, step)
        return {
            **weighted(log_w, accept.dtype),
            "acceptance": accept if self.path.moving else torch.full_like(accept, torch.nan),
        }

    def _block(
        self, block: Block, i: int, part: slice, told: Told, blocks: int
    ) -> dict[str, Tensor]:
        model, guide = self.programs
        rows = self.rows[part]
        with pyro.validation_enabled(True):
            log_weights(model, guide, rows)

        with pyro.validation_enabled(False):
            if not self.staged:
                chosen, path = self.settings, self.path
                each = chosen.leapfrog * bool(path.moving) + len(path.jumping)
                path.stage(self.compile, rows, chosen.chains, blocks * (chosen.steps * each + 1))
                self.staged = True

            self.seed(i, 0)
            sizes = pilot(self.path, rows, self.betas, self.settings.leapfrog)
            self.seed(i, 1)
            return {k: t.cpu() for k, t in block(part, rows, sizes, told).items()}

    def seed(self, block: int, part: int) -> None:
        r"""Sets the seed of a part of a block, so that no part depends on what came before."""
        torch.manual_seed(mix(self.settings.seed, block, part))


class Told:
    r"""Tells how many data of a block are done, by the share of its work.

    Example:
        >>> told = Told(50, print)
        >>> told(0.1), told(0.11), told(1.0)
        5
        45
        (None, None, None)

    Arguments:
        size: The number of data of the block.
        progress: What is told.
    """

    def __init__(self, size: int, progress: Callable[[int], None] | None) -> None:
        self.size, self.progress, self.done = size, progress, 0

    def __call__(self, share: float) -> None:
        more = int(self.size * share) - self.done
        if more > 0 and self.progress is not None:
            self.progress(more)
        self.done += more


@contextmanager
def _running(model: Program, guide: Program) -> Iterator[None]:
    # Buffers and random states are put back afterwards.
    with evaluating(model, guide), preserving(model, guide):
        yield


def _twice(rows: Any) -> Any:
    # The data's dimension shows by its size only where there are two data or more.
    if isinstance(rows, Mapping):
        return {name: torch.cat([t, t]) for name, t in rows.items()}
    return torch.cat([rows, rows])
