r"""Reports: of a run, and of several side by side, each one HTML file that opens offline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from .drawing.album import album
from .drawing.facts import facts, made_by
from .drawing.page import Html, element, listing, page, picture
from .drawing.results import diagnoses, headline, ranking, results
from .fit import unscored
from .folder.atomic import write_text
from .plots import comparison, overlaid_curves

__all__ = ["Reported", "write_comparison", "write_report"]

Record = Mapping[str, Any]


class Reported(Protocol):
    r"""What a report needs of a run; :class:`ppl_vae.Run` has it."""

    @property
    def dir(self) -> Path: ...
    @property
    def config(self) -> dict[str, Any]: ...
    @property
    def data_summary(self) -> dict[str, Any]: ...
    @property
    def provenance(self) -> dict[str, Any]: ...
    @property
    def history(self) -> list[dict[str, float]]: ...
    @property
    def evidence(self) -> list[dict[str, Any]]: ...
    def figures(self) -> dict[str, Any]:
        r"""The figures by name; those that cannot be drawn are absent."""


def write_report(run: Reported, path: Path | str | None = None) -> Path:
    r"""Writes the report of a run: its number, what was run, all results, and its figures.

    Arguments:
        run: The run, as :func:`ppl_vae.load` returns it.
        path: The file, by default ``report.html`` in the run's folder.

    Returns:
        The path of the file, which is written whole or not at all.
    """
    path = Path(run.dir) / "report.html" if path is None else Path(path)
    name = f"{run.config.get('experiment', 'run')}: {Path(run.dir).resolve().name}"
    content = [
        *_head(run),
        element("h2", "What was run"),
        listing(facts(run.config, run.data_summary, run.provenance, run.history)),
        *results(run.evidence),
        *diagnoses(run.evidence),
        *album(run.figures(), "h2"),
    ]
    write_text(path, page(name, content, made_by(run.provenance)))
    return path


def write_comparison(
    groups: Sequence[Record],
    path: Path | str,
    title: str = "Comparison",
    *,
    curves: Sequence[Record] = (),
) -> Path:
    r"""Writes a comparison of runs: tables, best first, a figure, and the figures of each.

    Arguments:
        groups: As :func:`ppl_vae.compare.groups` returns them, each a run, or several that differ
            in the seed alone; they may have a ``description`` and ``figures`` besides.
        path: The file.
        title: The title of the page.
        curves: The histories of runs, evaluated or not, as :func:`ppl_vae.compare.histories`
            returns them.

    Returns:
        The path of the file, which is written whole or not at all.

    Raises:
        ValueError: If there are no runs.
    """
    if not groups:
        raise ValueError("There are no runs to compare.")

    ready = [group for group in groups if group.get("ready", True)]
    ranked = sorted(ready, key=lambda group: -float(group["log_evidence"]))
    alike = [group for group in ranked if group.get("comparable", True)]
    others = [group for group in ranked if not group.get("comparable", True)]
    late = [group for group in groups if not group.get("ready", True)]
    content = [*_compared(alike), *_apart(others), *_late(late), *_trained(curves)]

    for group in ranked:
        if group.get("figures") or group.get("description"):
            content += [
                element("h2", group["name"]),
                element("p", group.get("description") or ""),
                *album(group.get("figures") or {}, "h3"),
            ]

    write_text(path, page(title, content, made_by({})))
    return Path(path)


def _head(run: Reported) -> Iterable[Html]:
    if not unscored(run.history) or any("log_evidence" in record for record in run.evidence):
        yield from headline(run.evidence)
        return

    yield element(
        "p",
        "The guide of this run has no density, so there is no ELBO, and no log p(x) but by "
        "annealing from the prior: see what it reconstructs and draws.",
        class_="fair",
    )


def _compared(groups: Sequence[Record]) -> list[Html]:
    if not groups:
        return []

    return [
        element("p", _conditions(groups)),
        ranking(groups),
        picture(comparison(groups)),
        element(
            "p",
            "The runs saw the same data and share their luck: the difference of two is known "
            "better than their error bars suggest. Only log p(x) ranks models, for the ELBO mixes "
            f"the model with its guide. {_bound(groups)}",
        ),
    ]


def _bound(groups: Sequence[Record]) -> str:
    if any(group.get("steps") for group in groups):
        return (
            "Annealing tells a lower bound, which more steps would raise, and the order may change."
        )
    return (
        "Where the share of k-hat over 0.7 is large, log p(x) is a lower bound that may fall short "
        "by more than these differences: rank by annealing then."
    )


def _apart(groups: Sequence[Record]) -> list[Html]:
    if not groups:
        return []

    return [
        element("h2", "Not comparable"),
        element("p", "These numbers must not be ranked with the others, nor among themselves."),
        ranking(groups, reasons=True),
    ]


def _late(groups: Sequence[Record]) -> list[Html]:
    if not groups:
        return []

    return [
        element("h2", "Not evaluated yet"),
        listing((group["name"], group.get("reason", "")) for group in groups),
    ]


def _trained(curves: Sequence[Record]) -> list[Html]:
    if not curves:
        return []

    try:
        shown = picture(overlaid_curves(curves))
    except ValueError as error:
        # Runs that logged nothing which could be drawn are ranked all the same.
        shown = element("p", str(error))

    return [
        element("h2", "Learning curves"),
        element(
            "p",
            "What epochs were judged by, on the validation data where there are some: means over "
            "the seeds of each line, which are thin lines. A line that still rises was stopped "
            "early; one that falls overfits. It is a bound, and mixes the model with its guide: it "
            "does not rank.",
        ),
        shown,
    ]


def _conditions(groups: Sequence[Record]) -> str:
    first = groups[0]
    data = first.get("data_name", first.get("data", "the same data"))
    known = {
        "protocol {}": first.get("protocol"),
        "base measure {}": first.get("base_measure"),
        "{}": first.get("estimator"),
        "{} chains" if first.get("steps") else "{} particles": first.get("particles"),
        "{} steps": first.get("steps"),
    }
    told = [text.format(value) for text, value in known.items() if value]
    where = f"{first.get('n', 'all')} data of {data}, split {first.get('split', 'test')}"
    kinds = {str(group.get("standard_error_kind", "over data")) for group in groups}
    error = kinds.pop() if len(kinds) == 1 else "over seeds where there are several, else over data"
    return (
        f"Nats per datum, best first, on {', '.join([where, *told])}. ± is the standard error "
        f"{error}."
    )
