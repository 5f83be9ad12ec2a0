r"""What a record of an evaluation says, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..evaluation.judgement import judge

__all__ = ["verdict"]


def verdict(record: Mapping[str, Any]) -> tuple[str, str]:
    r"""The level, ``"good"``, ``"fair"`` or ``"poor"``, and the sentences that say why.

    Example:
        >>> verdict({"level": "good", "verdict": "All is well."})
        ('good', 'All is well.')

    Arguments:
        record: The record; one of an older version may have no verdict.
    """
    return (record["level"], record["verdict"]) if "verdict" in record else judge(record)
