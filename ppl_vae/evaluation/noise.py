r"""The noise that a guide asks torch for, and given numbers in its place.

A draw that is reparameterized is a function of standard normal or uniform numbers. Here they are
replaced where torch makes them, below all distributions: what a guide does with them stays its own.
That is sound if each particle of each datum has numbers of its own, always the same number of them,
and nothing else is random; all of this is checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ..modules import preserving
from ..weights import Program, draw_guide

__all__ = ["Ask", "Noise", "asked"]

aten: Any = torch.ops.aten

NORMAL = {aten.normal, aten.normal_, aten.normal_functional, aten.randn, aten.randn_like}
UNIFORM = {aten.rand, aten.rand_like, aten.uniform, aten.uniform_}


class Ask(NamedTuple):
    r"""A tensor of noise that a guide asks for."""

    normal: bool
    r"""Whether it is standard normal; else it is uniform."""
    dtype: torch.dtype
    shape: tuple[int, ...]
    r"""Its shape without the particles and the data."""
    particle_axis: int
    data_axis: int

    @property
    def size(self) -> int:
        r"""The number of elements for a particle of a datum."""
        return torch.Size(self.shape).numel()

    def shaped(self, u: Tensor) -> Tensor:
        r"""The noise that uniform numbers make.

        Arguments:
            u: The numbers, in the open unit interval, with shape ``(K, n, size)``.
        """
        below = 1 - torch.finfo(self.dtype).eps / 2
        noise = torch.special.ndtri(u) if self.normal else u.clamp(max=below)
        noise = noise.reshape(*u.shape[:2], *self.shape)
        noise = noise.movedim((0, 1), (self.particle_axis, self.data_axis))
        return noise.to(self.dtype).contiguous()


class Noise(TorchDispatchMode):
    r"""Within it, torch makes no noise of its own, but takes what it is given.

    Example:
        >>> with Noise([torch.tensor([1.0, -1.0])]) as told:
        ...     torch.normal(torch.zeros(2), 3.0)
        tensor([ 3., -3.])
        >>> told.check()

    Arguments:
        given: A tensor for each noise that is asked for, in order; None to make it as ever, and
            note what was asked for.

    Raises:
        ValueError: If another noise is asked for than normal and uniform, or than was given.
    """

    def __init__(self, given: Sequence[Tensor] | None = None) -> None:
        super().__init__()
        self.given = given
        self.refused: str | None = None
        r"""Why it refused, if it did."""
        self.seen: list[tuple[bool, torch.dtype, torch.Size]] = []

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}

        if torch.Tag.nondeterministic_seeded not in op.tags:
            return op(*args, **kwargs)

        normal = op.overloadpacket in NORMAL
        if (not normal and op.overloadpacket not in UNIFORM) or op._overloadname.endswith("out"):
            self.refused = (
                f"The guide draws by {op.overloadpacket.__name__}, whose noise is neither normal "
                "nor uniform, so that Sobol points cannot take its place; take draws='random'."
            )
            raise ValueError(self.refused)
        if self.given is None:
            out: Tensor = op(*args, **kwargs)
            self.seen.append((normal, out.dtype, out.shape))
            return out

        return self._place(op, args, kwargs, normal)

    def _place(self, op: Any, args: Any, kwargs: Any, normal: bool) -> Tensor:
        names = [argument.name for argument in op._schema.arguments]
        told = {**dict(zip(names, args, strict=False)), **kwargs}
        i = len(self.seen)
        eps = self.given[i] if self.given is not None and i < len(self.given) else None
        self.seen.append((normal, torch.float32, torch.Size()))

        if eps is None or eps.shape != _shape(told):
            raise ValueError(ANOTHER)

        if normal:
            loc, scale = told.get("mean", 0.0), told.get("std", 1.0)
        else:
            loc = told.get("from", 0.0)
            scale = told.get("to", 1.0) - loc

        out: Tensor = eps * scale + loc
        return told["self"].copy_(out) if op._schema.is_mutable else out

    def check(self) -> None:
        r"""Raises a ValueError if less noise was asked for than was given."""
        if len(self.seen) != len(self.given or ()):
            raise ValueError(ANOTHER)


ANOTHER = (
    "The guide does not ask for the same noise at each call, so that Sobol points cannot take its "
    "place; take draws='random'."
)


def asked(guide: Program, row: Any, depth: int) -> list[Ask]:
    r"""What noise a guide asks for.

    Arguments:
        guide: The program :math:`q(z \mid x)`.
        row: A batch of one datum.
        depth: The number of nested plates of both programs.

    Raises:
        ValueError: If that is anything but normal or uniform numbers, some for each particle of
            each datum.
    """
    with preserving(guide), torch.no_grad():
        tried = [_seen(guide, _repeated(row, n), K, depth) for K, n in ((2, 2), (3, 2), (2, 3))]

        if len({len(seen) for seen in tried}) > 1:
            raise ValueError(ANOTHER)
        if not tried[0]:
            raise ValueError(
                "The guide draws without noise of torch's, so that there is nothing for Sobol "
                "points to replace; take draws='random'."
            )

        asks = [_ask(*each) for each in zip(*tried, strict=True)]
        _check_alone(guide, _repeated(row, 2), asks, depth)

    return asks


def _shape(told: dict[str, Any]) -> torch.Size:
    tensors = [told[name] for name in ("self", "mean", "std") if isinstance(told.get(name), Tensor)]
    return (
        torch.broadcast_shapes(*(t.shape for t in tensors)) if tensors else torch.Size(told["size"])
    )


def _seen(guide: Program, batch: Any, particles: int, depth: int) -> list[Any]:
    noise = Noise()
    try:
        with noise:
            draw_guide(guide, batch, particles, depth=depth)
    except ValueError as error:
        if noise.refused is None:
            raise
        # Pyro adds the shapes of a trace to what its programs raise.
        raise ValueError(noise.refused) from error
    return noise.seen


def _repeated(row: Any, n: int) -> Any:
    if isinstance(row, Tensor):
        return row.repeat_interleave(n, 0)
    return {name: t.repeat_interleave(n, 0) for name, t in row.items()}


def _ask(first: Any, more: Any, wide: Any) -> Ask:
    (normal, dtype, shape), along, across = first, more[2], wide[2]
    axes = [
        [i for i, (a, b) in enumerate(zip(shape, other, strict=False)) if (a, b) == (2, 3)]
        for other in (along, across)
    ]
    others = [len(other) == len(shape) and _apart(shape, other) == 1 for other in (along, across)]

    if not all(others) or [len(found) for found in axes] != [1, 1] or axes[0] == axes[1]:
        raise ValueError(
            f"The guide draws noise of shape {tuple(shape)} for 2 particles of 2 data, which is no "
            "part for each particle of each datum, so that Sobol points cannot take its place; "
            "take draws='random'."
        )

    (k,), (i,) = axes
    rest = tuple(size for axis, size in enumerate(shape) if axis not in (k, i))
    return Ask(normal, dtype, rest, k, i)


def _apart(a: Sequence[int], b: Sequence[int]) -> int:
    return sum(x != y for x, y in zip(a, b, strict=True))


def _check_alone(guide: Program, batch: Any, asks: list[Ask], depth: int) -> None:
    # The same numbers must make the same draws, whatever the state of the generator.
    u = [torch.rand(2, 2, ask.size, dtype=torch.float64) for ask in asks]
    home = next((t.device for t in (batch.values() if isinstance(batch, dict) else [batch])), None)
    given = [ask.shaped(part).to(home) for ask, part in zip(asks, u, strict=True)]
    drawn = []

    for _ in range(2):
        torch.rand(1)
        with Noise(given) as noise:
            values, log_q = draw_guide(guide, batch, 2, depth=depth)
        noise.check()
        drawn.append([*values.values(), log_q])

    if not all(torch.equal(a, b) for a, b in zip(*drawn, strict=True)):
        raise ValueError(
            "The guide draws from more than the noise of torch, so that Sobol points cannot take "
            "its place; take draws='random'."
        )
