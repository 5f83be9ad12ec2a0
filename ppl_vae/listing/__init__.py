r"""The catalogue: every part, what it says of itself, and which parts go together."""

from .cells import PLURAL, Cell, legal_cells, pair_verdict, scored, suited, verdict_of
from .compose import compose
from .entries import HEADS, KINDS, Entry, entries, listed, told_of
from .supports import describe

__all__ = [
    "HEADS",
    "KINDS",
    "PLURAL",
    "Cell",
    "Entry",
    "compose",
    "describe",
    "entries",
    "legal_cells",
    "listed",
    "pair_verdict",
    "scored",
    "suited",
    "told_of",
    "verdict_of",
]
