r"""The catalogue: every part, what it says of itself, and which parts go together."""

from .cells import PLURAL, Cell, legal_cells, suited, verdict_of
from .compose import compose
from .entries import KINDS, Entry, entries, listed
from .supports import describe

__all__ = [
    "KINDS",
    "PLURAL",
    "Cell",
    "Entry",
    "compose",
    "describe",
    "entries",
    "legal_cells",
    "listed",
    "suited",
    "verdict_of",
]
