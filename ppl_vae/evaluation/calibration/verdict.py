r"""What calibration says, in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .faults import NARROW, WIDE, Fault

if TYPE_CHECKING:
    from .result import Calibration

__all__ = ["judge"]

LARGE = 0.1
r"""The difference of distribution functions beyond which a guide is poor: what a Gaussian guide has
that is off by a quarter of its standard deviation, or has 0.65 or 1.5 times the right one. What is
wrong with all elements adds up in densities and distances, so they reach it earlier."""
MOST = 3
r"""The number of elements that a sentence names."""

SUBJECTS = {
    "latent": "Site {site!r}, elements {names}",
    "density": "By {names}",
    "coverage": "By distances from reference points",
    "predictive": "Predictions of site {site!r}, {names}",
}
CURES = {
    "too narrow": "Train the guide longer, or take a larger encoder or a posterior of a richer "
    "family (evaluate --method gap tells which is at fault), before its spread is used",
    "too wide": "Train the guide longer, or take a posterior of a richer family",
    "too low": "Train the guide longer, or take a larger network for it",
    "too high": "Train the guide longer, or take a larger network for it",
    "fits too badly": "Train the guide longer, and look whether its codes are used at all",
    "ignores data or too wide": "Train the guide longer, and look whether its codes are used at "
    "all",
}
RICHER = "Take a posterior of a richer family"

OWN = (
    "The data are the model's own: where they look unlike real data, a guide that was trained on "
    "those has not learned them."
)


def judge(found: Calibration) -> tuple[str, str]:
    r"""The level, ``"good"``, ``"fair"`` or ``"poor"``, and the sentences that say why.

    Arguments:
        found: What calibration found.
    """
    faults = found.faults

    if not faults:
        return _none(found)

    worst = float(found.distances[found.rejected].max())
    first = (
        f"{len(faults)} of {len(found.quantities)} tests reject the guide; its distribution "
        f"functions are off by up to {worst:.2f}, and over {LARGE:g} its probabilities should not "
        "be used as they are."
    )
    cures = dict.fromkeys(CURES.get(fault.name, RICHER) for fault in faults.values())
    # The first faults have the first say: elements of the code come before what they entail.
    sentences = [first, *_sentences(found, faults), f"{next(iter(cures))}.", OWN]
    return "poor" if worst > LARGE else "fair", " ".join(sentences)


def _none(found: Calibration) -> tuple[str, str]:
    tests, unseen = len(found.quantities), found.detectable
    plain = (
        f"None of {tests} tests rejects the guide (an exact one is rejected in {found.rate:.0%} of "
        f"cases at the most); a distribution function that is off by more than {unseen:.2f} would "
        "probably have been found."
    )

    if unseen > LARGE:
        return "fair", (
            f"{plain} These are too few simulations to call the guide calibrated: take "
            f"{_needed(len(found), unseen)} or more."
        )
    return "good", plain


def _needed(simulations: int, unseen: float) -> int:
    # The width of a band falls with the root of their number.
    return -(-int(1.1 * simulations * (unseen / LARGE) ** 2) // 100) * 100


def _sentences(found: Calibration, faults: dict[str, Fault]) -> Iterator[str]:
    groups: dict[tuple[str, str, Fault], list[int]] = {}

    for i, q in enumerate(found.quantities):
        if q.name in faults:
            groups.setdefault((q.kind, q.site, faults[q.name]), []).append(i)

    for (kind, site, fault), members in groups.items():
        names = [found.quantities[i].name for i in members]
        more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
        subject = SUBJECTS[kind].format(site=site, names=", ".join(names[:MOST]) + more)
        subject = f"Site {site!r}" if names == [site] else subject
        what = "the guide's prediction" if kind == "predictive" else "the guide"
        yield f"{subject}: {what} {fault.meaning}{_intervals(found, fault, members)}."


def _intervals(found: Calibration, fault: Fault, members: list[int]) -> str:
    if fault not in (NARROW, WIDE):
        return ""

    held = float(found.held[members].mean())
    return f"; intervals that should hold {found.nominal:.0%} of the true values hold {held:.0%}"
