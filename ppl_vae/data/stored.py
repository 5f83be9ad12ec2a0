r"""Data sets known by their summary alone, so that a run can be loaded where its data is absent."""

from __future__ import annotations

__all__ = ["FACTS", "recall", "stored"]

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_SUMMARY: ContextVar[Mapping[str, Any] | None] = ContextVar("ppl_vae_stored_data", default=None)

FACTS = (
    "class_names",
    "counts",
    "dtype",
    "event_shape",
    "hash",
    "log_volume",
    "maximum",
    "mean",
    "scaling",
)


@contextmanager
def stored(summary: Mapping[str, Any]) -> Iterator[None]:
    r"""Inside, every new :class:`ppl_vae.data.Data` answers from `summary` and loads nothing.

    Asking such a data set for rows still tries its source, and raises a ValueError where that
    is absent or holds other data than the summary's hash says.

    Arguments:
        summary: What :meth:`ppl_vae.data.Data.summary` returned.

    Raises:
        ValueError: if the summary lacks an entry.

    Example:
        >>> import torch
        >>> from ppl_vae.data import Data, Split
        >>> rows = {"train": Split({"x": torch.ones(3, 2)})}
        >>> with stored(Data("toy", lambda: rows).summary()):
        ...     data = Data("toy", lambda: open("absent"))
        >>> data.event_shape, data.counts
        (torch.Size([2]), {'train': 3})
    """

    missing = [key for key in FACTS if key not in summary]

    if missing:
        raise ValueError(f"the stored summary of the data lacks {missing}: the run is incomplete.")

    token = _SUMMARY.set(copy.deepcopy(dict(summary)))  # the caller may change his

    try:
        yield
    finally:
        _SUMMARY.reset(token)


def recall() -> Mapping[str, Any] | None:
    r"""The summary of the surrounding :func:`stored`, if any.

    Example:
        >>> recall() is None
        True
    """

    return _SUMMARY.get()
