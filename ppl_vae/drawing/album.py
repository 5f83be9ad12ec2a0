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
