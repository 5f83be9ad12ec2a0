r"""What estimates by importance weighting say, in words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

__all__ = ["judge"]

FEW = 0.05
r"""The share of data with a k-hat over 0.7 up to which an average over data hardly suffers."""


def judge(record: Mapping[str, Any]) -> tuple[str, str]:
    r"""Whether an estimate of :math:`\log p(x)` may rank models.

    Example:
        >>> khat = {"median": 0.3, "max": 1.1, "share_over_0.7": 0.12}
        >>> judge({"split": "test", "particles": 100, "khat": khat})[0]
        'poor'

    Arguments:
        record: The fields of :meth:`Evidence.summary`, and what is known beside them: ``misfit``,
            ``split``. Any may be missing.

    Returns:
        ``"good"``, ``"fair"`` or ``"poor"``, and the sentences that say why.
    """
    level, sentence = _tails(record)
    notes = [sentence]

    if record.get("left_out"):
        sites = ", ".join(map(repr, record["left_out"]))
        notes = [
            f"The guide draws no more than a part of the model's support at site {sites}: this is "
            "a lower bound however many particles there are. Take a posterior on the whole "
            "support of the prior before this number ranks models."
        ]
        level = "poor"

    misfit = record.get("misfit")
    if misfit is not None and (misfit["faults"] or level != "good"):
        notes.append(misfit["verdict"])

    spread, noise = (record.get(k) for k in ("standard_error", "monte_carlo_error"))

    if spread is not None and noise is not None and noise > 0.5 * spread:
        notes.append(
            "The Monte Carlo error is large beside the standard error: take more particles."
        )
        level = "fair" if level == "good" else level
    if spread is None or math.isnan(spread):
        notes.append("One datum has no standard error: evaluate more.")
        level = "poor"
    if record.get("split") == "train":
        notes.append("These are the data of training; only held-out data tell how well it learned.")

    return level, " ".join(filter(None, notes))


def _tails(record: Mapping[str, Any]) -> tuple[str, str]:
    if "khat" not in record:
        return "good", "The estimator needs no diagnostic."

    share = (record["khat"] or {}).get("share_over_0.7")

    if share is None:
        return "poor", (
            f"With {record.get('particles')} particles the tails of the weights cannot be judged: "
            "take this number for a lower bound, and evaluate with 25 particles at the least."
        )
    told = "under 1 %" if 0 < share < 0.01 else f"{100 * share:.0f} %"
    if share == 0:
        return "good", "No k-hat is over 0.7: the estimate and its errors can be trusted."
    if share <= FEW:
        return "fair", (
            f"The share of k-hat over 0.7 is {told}: the estimate is sound for nearly "
            "all data; mind small differences between models."
        )

    return "poor", (
        f"The share of k-hat over 0.7 is {told}: this is a lower bound that may fall far "
        "short, and its error bars are too small. Before this number ranks models, refine the "
        f"guide {'further' if 'refined_elbo' in record else '(--refine)'} or anneal (--method "
        "ais); what the guide lacks, --method gap tells."
    )
