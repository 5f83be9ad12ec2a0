r"""Whether torch checks the arguments and values of distributions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch.distributions import Distribution

__all__ = ["keeping_validation"]


@contextmanager
def keeping_validation() -> Iterator[None]:
    r"""After it, checks are on or off as before it.

    zuko turns them off for all distributions of the process as it is loaded.

    Example:
        >>> with keeping_validation():
        ...     import zuko
        >>> Distribution._validate_args
        True
    """
    before = Distribution._validate_args

    try:
        yield
    finally:
        Distribution.set_default_validate_args(before)
