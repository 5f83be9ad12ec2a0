r"""The figures of a run, each with its heading and how to read it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .page import Html, element, picture

__all__ = ["album"]

# In the order of the report; a name may go on, as in latent_space_z1.
READING = {
    "learning_curves": (
        "Learning curves",
        "The ELBO should rise and settle. Where validation falls while training still rises, the "
        "model overfits; a KL near zero means that the latent variables go unused.",
    ),
    "reconstructions": (
        "Reconstructions",
        "Each datum goes through the posterior and back. What the reconstruction lacks, the code "
        "does not hold.",
    ),
    "samples": (
        "Samples",
        "Their codes are drawn from the prior. Where samples look worse than reconstructions, the "
        "prior covers codes that no datum has.",
    ),
    "latent_space": (
        "Latent space",
        "Each point is the code of one datum. The model has not seen the classes: groups that "
        "agree with them were found in the data. Two dimensions may hide that others are apart.",
    ),
    "traversal": (
        "Traversal",
        "From left to right, one dimension of the code takes the values below. A row in which "
        "nothing changes is a dimension that the model does not use.",
    ),
    "evidence": (
        "log p(x) per datum",
        "Far to the left lie the data that the model finds least likely. The ELBO lies below "
        "log p(x) by what the approximate posterior costs.",
    ),
    "tails": (
        "Particles that count",
        "Each point is one datum. To the right its weights have a heavy tail, so that its estimate "
        "is too low and its error bar too small; at the bottom one draw carries all.",
    ),
    "sandwich": (
        "log p(x) from both sides",
        "On data that the model drew, where an upper bound is known as well. Both sides are bounds "
        "on average, over the chains; crosses far below the dots are data of which importance "
        "weighting falls short. CUBO is an upper bound only for ever more particles.",
    ),
    "gaps": (
        "What the guide costs",
        "Amortization is what one encoder for all data loses against a posterior refined for each "
        "datum; family is what the best posterior of the family still lacks. Values below zero are "
        "noise of the estimates.",
    ),
    "ranks": (
        "Calibration: ranks",
        "Each panel ranks the true value among the guide's draws. Flat within the grey is right; a "
        "U says that the guide is too narrow, a hump too wide, and a slope that it is shifted. "
        "Elements of a code depend on each other.",
    ),
    "differences": (
        "Calibration: distribution of the ranks",
        "A curve that leaves the grey is not chance, whichever it is of: with an exact guide, 95 % "
        "of such figures have none outside. The farther it goes, the more the guide's "
        "probabilities are off.",
    ),
    "coverage": (
        "Calibration: coverage",
        "Balls around points that depend on the data should hold as many true values as draws. "
        "Above the diagonal the guide is off, too wide or ignores the data; below it, it is too "
        "narrow or shifted.",
    ),
    "predictions": (
        "Calibration: predictions",
        "New data of the same latent variable should lie anywhere among the guide's predictions. A "
        "U says that predictions are too sure, a hump that they are too vague, a slope that they "
        "are shifted.",
    ),
    "dimensions": (
        "Use of the dimensions",
        "Each column is one dimension of the code, the costliest first. Above, what it costs of "
        "the ELBO; below, how much its mean moves with the data, where stubs at the axis stand for "
        "less. Orange dimensions stay under the dashed line, up to the noise of the draws: the "
        "model does not use them, and a smaller code would do as well.",
    ),
    "aggregate": (
        "Codes of the data against the prior",
        "Filled are the codes of the data, outlined the draws of the prior that samples start "
        "from. Where the outline stands without filling, samples come from codes that no datum "
        "has; where filling stands without outline, data lie that are never sampled.",
    ),
    "rate_distortion": (
        "Rate and distortion",
        "The curve is what this decoder could do at each rate with the best encoder, by annealing: "
        "points that can be reached, if not the best ones. The dotted line joins all points of the "
        "sum that the curve ends at; the further the guide lies above it, the more it costs.",
    ),
    "classifier": (
        "Samples against held-out data",
        "On the left, a classifier judges rows that it has not learned from: where both outlines "
        "lie on each other, samples cannot be told from data; the further apart, the worse the "
        "samples. On the right, blue bars should be as high as grey ones, which other real data "
        "reach. Precision and density fall where samples look like no datum, recall and coverage "
        "where there are data that the model does not draw; a density far above the grey bar means "
        "that samples crowd about typical data.",
    ),
}

UNBOUNDED = (
    "No bound of log p(x) is known: the loss is the objective's own, and does not compare with "
    "that of another. It should settle, and the reconstruction, where it is drawn, rise. Where "
    "validation gets worse while training still gets better, the model overfits."
)
r"""How to read learning curves without a bound."""


def album(figures: Mapping[str, Any], heading: str) -> Iterable[Html]:
    r"""Known figures in their order, then the others.

    Arguments:
        figures: The figures by name.
        heading: The element of the headings, such as ``"h2"``.
    """
    order = {name: i for i, name in enumerate(READING)}

    for name in sorted(figures, key=lambda name: order.get(_kind(name), len(order))):
        title, note = READING.get(_kind(name), (name.replace("_", " "), ""))
        if _kind(name) == "learning_curves" and not _bounded(figures[name]):
            note = UNBOUNDED
        yield element(heading, title)
        if note:
            yield element("p", note)
        yield picture(figures[name])


def _kind(name: str) -> str:
    return next((kind for kind in READING if name.startswith(kind)), name)


def _bounded(figure: Any) -> bool:
    return bool({"bound", "ELBO"} & {axes.get_title() for axes in figure.axes})
