r"""What the comparison of samples with data means, in words."""

from __future__ import annotations

from .comparison import Comparison

__all__ = ["verdict"]

GAP = 0.05
r"""How far below real data a measure must lie to be spoken of."""
WIDE = 0.2
r"""How far below is poor."""
TOLD = 0.75
r"""The accuracy of a classifier that is poor, where 0.5 is chance."""

FEW = 100
r"""The number of rows under which nothing is called good."""

CAUSES = {
    "precision": "samples lie where no data are, as the prior has mass where no codes are, or the "
    "likelihood adds noise; fit a richer prior to the codes (Vamp, or a flow), and look at the "
    "means of the likelihood",
    "recall": "parts of the data are not drawn; train longer, or take a richer prior or decoder",
    "coverage": "about many data no sample is drawn; take a richer prior or decoder",
}
r"""What lies behind a low measure, and what to do."""


def verdict(samples: Comparison, real: Comparison, m: int) -> tuple[str, str]:
    r"""The level and the sentences.

    Arguments:
        samples: Held-out data against samples.
        real: Held-out data against other real data.
        m: The number of rows of each.
    """
    said = []
    gaps = _gaps(samples, real)
    alike = samples.p_value > 0.05

    if real.p_value < 0.01:
        said.append(
            f"Held-out data and the other real data differ themselves (p = {real.p_value:.1g}): "
            "read all that follows against what these reach."
        )
    if alike:
        said.append(
            f"No test tells {m} samples from {m} held-out data (smallest p = "
            f"{samples.p_value:.2g}, corrected for their number); more of both might."
        )
    else:
        said.append(
            f"Samples are told from held-out data (p = {samples.p_value:.1g}, the least of three "
            f"tests, corrected for their number): the better classifier is right for "
            f"{samples.accuracy:.0%} of them, where it reaches {real.accuracy:.0%} for other real "
            "data and chance is 50%."
        )

    for name, (value, attainable) in gaps.items():
        said.append(
            f"The {name} is {value:.2f}, where other real data reach {attainable:.2f}: "
            f"{CAUSES[name]}."
        )

    if crowded := _crowded(samples, real):
        said.append(crowded)

    wide = any(attainable - value > WIDE for value, attainable in gaps.values())
    if m < FEW:
        said.append(f"With {m} rows of each side small faults go unseen: give {FEW} or more.")
    poor = wide or (not alike and samples.accuracy > TOLD)
    return "poor" if poor else "good" if alike and not gaps and m >= FEW else "fair", " ".join(said)


def _crowded(samples: Comparison, real: Comparison) -> str:
    value, usual = (c.neighbours.density for c in (samples, real))
    errors = [c.neighbours.errors["density"] for c in (samples, real)]

    if value - usual <= max(usual, 3 * sum(e**2 for e in errors) ** 0.5):
        return ""
    return (
        f"The density is {value:.2f}, where other real data reach {usual:.2f}: samples crowd about "
        "typical data, as blurred pictures do."
    )


def _gaps(samples: Comparison, real: Comparison) -> dict[str, tuple[float, float]]:
    found = {}

    for name in CAUSES:
        value, attainable = (getattr(c.neighbours, name) for c in (samples, real))
        errors = [c.neighbours.errors[name] for c in (samples, real)]
        # Three standard errors of a difference: once in 700 by chance.
        if attainable - value > max(GAP, 3 * sum(e**2 for e in errors) ** 0.5):
            found[name] = (value, attainable)

    return found
