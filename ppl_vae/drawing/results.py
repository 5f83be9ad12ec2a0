r"""Records of evidence as tables: of one run with explanations, of several in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from .estimates import ESTIMATES, NONE, count, log_evidence, subject
from .page import Html, element, join, listing, number, percent, table
from .terms import terms
from .verdict import verdict

__all__ = ["DIAGNOSES", "diagnoses", "headline", "ranking", "results"]

Record = Mapping[str, Any]


def headline(evidence: Sequence[Record]) -> Iterable[Html]:
    r"""The one number of a run, and whether to trust it."""
    best = _best(evidence)
    if best is None:
        yield element("p", "This run was not evaluated on held-out data yet.", class_="fair")
        return

    yield element("p", f"log p(x) = {log_evidence(best)} nats per datum", class_="lead")
    yield _judgement(best)


def results(evidence: Sequence[Record]) -> Iterable[Html]:
    r"""A column for each record, how to read the rows, and verdicts."""
    told = [record for record in evidence if "log_evidence" in record]
    if not told:
        return

    yield element("h2", "Results")
    rows = {term: [*map(show, told)] for term, (show, _) in ESTIMATES.items()}
    known = [term for term, values in rows.items() if set(values) != {NONE}]
    yield table([[term, *rows[term]] for term in known], ("", *map(_name, told)))
    notes = listing((term, ESTIMATES[term][1]) for term in known)
    yield element("details", join([element("summary", "How to read it"), notes]))

    # The verdict on the best stands at the head of the page.
    for record in told:
        if record is not _best(evidence):
            yield _judgement(record)


def diagnoses(evidence: Sequence[Record]) -> Iterable[Html]:
    r"""What evaluations say that are no estimates of log p(x), each by its verdict."""
    others = [record for record in evidence if "log_evidence" not in record]
    methods = dict.fromkeys(record["method"] for record in others)
    told = [record for method in methods for record in others if record["method"] == method]
    if told:
        yield element("h2", "Diagnosis")

    for record in told:
        title = DIAGNOSES.get(record["method"], record["method"])
        where = f"{title} ({subject(record)})."
        yield element(
            "p", join([element("strong", where), record["verdict"]]), class_=record["level"]
        )
        yield listing(terms(record))


def ranking(groups: Sequence[Record], *, reasons: bool = False) -> Html:
    r"""A row for each group of runs, the best first, or the reason why there is no best."""
    best = groups[0]["log_evidence"]
    columns: dict[str, Callable[[Record], Any]] = {
        "run": lambda r: r["name"],
        "log p(x)": log_evidence,
        "below the best": lambda r: number(best - r["log_evidence"]),
        "ELBO": lambda r: number(r.get("elbo")),
        "KL": lambda r: number(r.get("kl")),
        "bits/dim": lambda r: number(r.get("bits_per_dim"), 4),
        "Monte Carlo error": lambda r: number(r.get("monte_carlo_error"), 3),
        "k-hat over 0.7": lambda r: percent(r.get("khat_share")),
        "seeds": lambda r: r.get("runs", 1),
        "seconds": lambda r: number(r.get("seconds"), 0),
        "parameters": lambda r: count(r.get("parameters")),
    }
    if reasons:
        del columns["below the best"]
        columns["why"] = lambda r: r.get("reason", "")

    rows = [[show(group) for show in columns.values()] for group in groups]
    return table(rows, tuple(columns), notes=reasons)


def _best(evidence: Sequence[Record]) -> Record | None:
    held_out = [r for r in evidence if r.get("split") != "train" and "log_evidence" in r]

    def rank(record: Record) -> tuple[bool, bool, int, int]:
        usual = record.get("method", "importance") == "importance"
        sizes = record.get("n") or 0, record.get("particles") or 0
        return record.get("split") == "test", usual, *sizes

    return max(held_out, key=rank, default=None)


def _judgement(record: Record) -> Html:
    level, sentences = verdict(record)
    return element("p", join([element("strong", f"{_name(record)}."), sentences]), class_=level)


def _name(record: Record) -> str:
    parts = [str(record.get("split", "")), f"{count(record.get('n'))} data"]
    if record.get("method") == "ais":
        parts.append(f"annealing, {count(record['steps'])} steps, {record['particles']} chains")
    elif record.get("particles"):
        parts.append(f"{count(record['particles'])} particles")
        how = str(record.get("estimator", ""))
        parts.append(how.removeprefix("importance weighting").removeprefix(", "))

    return ", ".join(part for part in parts if part)


DIAGNOSES = {
    "bdmc": "Bounds from both sides",
    "gap": "What the guide costs",
    "calibration": "Calibration of the guide",
    "latent": "Use of the latent variables",
    "samples": "Samples against held-out data",
}
r"""What each way of evaluation is called in a report."""
