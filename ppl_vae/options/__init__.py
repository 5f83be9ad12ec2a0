r"""Options of an experiment: the command line, from the signature of a function."""

from .options import Options, training

__all__ = ["Options", "training"]
