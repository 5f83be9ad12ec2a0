r"""What the record of an evaluation tells, as terms and values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .estimates import ESTIMATES, NONE, count, seconds, with_error
from .page import number, percent

__all__ = ["terms"]

Record = Mapping[str, Any]
Terms = Iterator[tuple[str, str]]


def terms(record: Record) -> list[tuple[str, str]]:
    r"""The terms of a record with their values; those that it does not tell are left out.

    Example:
        >>> terms({"method": "ais", "log_evidence": -3.0, "standard_error": 0.5, "ess": None})[0]
        ('log p(x)', '-3.00 ± 0.50')
    """
    told = [*TOLD.get(record.get("method", "importance"), _estimate)(record)]
    told.append(("seconds", seconds(record)))
    return [(term, value) for term, value in told if value != NONE]


def _estimate(record: Record) -> Terms:
    for term, (show, _) in ESTIMATES.items():
        if term != "seconds":
            yield term, str(show(record))

    if (above := record.get("above_importance")) is not None:
        told = with_error(above["difference"], above["standard_error"])
        yield f"less that of {count(above['particles'])} particles, same data", told
    if (misfit := record.get("misfit")) is not None:
        yield from _misfit(misfit)


def _misfit(misfit: Record) -> Terms:
    yield (
        "posterior's width over the guide's",
        with_error(misfit["width"], misfit["width_error"]),
    )
    yield (
        "posterior's distance, in widths of the guide",
        with_error(misfit["shift"], misfit["shift_error"]),
    )


def _bdmc(record: Record) -> Terms:
    low, high = record["edges"]
    K = count(record.get("importance_particles"))
    yield "log p(x), 95 % over draws", f"{number(low)} to {number(high)}"
    yield "annealing forward, ± over data", with_error(record["lower"], record["lower_error"])
    yield "annealing backward", number(record["upper"])
    yield "gap", f"{number(record['gap'])}, at most {number(record['gap_edge'])}"
    if record.get("importance") is not None:
        yield f"importance weighting, {K} particles", number(record["importance"])
        gap, edge = record["importance_gap"], record["importance_gap_edge"]
        yield "its gap", f"{number(gap)}, at most {number(edge)}"
    yield "CUBO (an upper value for many particles only)", number(record.get("cubo"))
    yield "accepted moves", percent(record.get("acceptance"))
    how = f"{count(record['steps'])} steps, {count(record['chains'])} chains"
    yield "annealing", f"{how}, from the {record['start']}"


def _inference_gap(record: Record) -> Terms:
    yield "ELBO", number(record["elbo"])
    yield "ELBO of the refined posterior", number(record["refined_elbo"])
    yield "log p(x)", f"{number(record['log_p'])}, {record['estimator'].partition(', ')[2]}"
    for part in ("amortization", "family", "inference"):
        told = with_error(record[f"{part}_gap"], record[f"{part}_gap_error"])
        yield f"{part} gap", told
    if (misfit := record.get("misfit")) is not None:
        yield from _misfit(misfit)


def _calibration(record: Record) -> Terms:
    how = f"{count(record['simulations'])} simulations, {count(record['draws'])} draws each"
    yield "tests that reject", f"{record['rejected']} of {record['tests']}, {how}"
    yield "least of them, corrected", _p(record["p_value"])
    yield "greatest difference", number(record["distance"])
    yield "difference that would be found", number(record["detectable"])
    for q in record["quantities"]:
        if q["fault"]:
            name = q["name"] if q["name"].startswith(q["site"]) else f"{q['name']} ({q['kind']})"
            yield name, f"{q['fault']}, {_p(q['adjusted'])}"


def _latent(record: Record) -> Terms:
    yield "active dimensions", f"{record['active']} of {record['dimensions']}"
    yield "KL (rate)", with_error(record["rate"], record["rate_error"])
    yield "distortion", with_error(record["distortion"], record["distortion_error"])
    # Bounds on average: none is worse than zero, or the rate, which both are parts of.
    for term, key in (("mutual information", "information"), ("KL(q(z), p(z))", "marginal_kl")):
        if (part := record[key]) is not None:
            low, high = (_within(part[side], record["rate"]) for side in ("lower", "upper"))
            yield term, f"{number(low)} to {number(high)}"
    yield "codes against draws of the prior", _p(record["aggregate"]["p_value"])
    if probe := record.get("probe"):
        told = f"{percent(probe['accuracy'])} ± {percent(probe['standard_error'])}"
        yield "linear probe", f"{told}, guessing {percent(probe['baseline'])}"
    if clusters := record.get("clusters"):
        told = f"ARI {number(clusters['ari'])}, NMI {number(clusters['nmi'])}"
        yield "k-means against the labels", told


def _samples(record: Record) -> Terms:
    real = record.get("real")

    def beside(show: Callable[..., str], *names: str) -> str:
        own = show(record["samples"], *names)
        return own if real is None else f"{own} (other real data: {show(real, *names)})"

    for kind in record["samples"]["classifiers"]:
        yield f"{kind} classifier", beside(_accuracy, kind)
    yield "maximum mean discrepancy", beside(lambda r: _p(r["mmd"]["p_value"]))
    for name in ("precision", "recall", "density", "coverage"):
        yield name, beside(_measure, name)
    features = record["features"].partition(": ")[2]
    yield f"Fréchet distance, {features}", beside(_measure, "frechet")


def _accuracy(compared: Record, kind: str) -> str:
    return percent(compared["classifiers"][kind]["accuracy"])


def _measure(compared: Record, name: str) -> str:
    return with_error(compared[name]["value"], compared[name]["standard_error"])


def _within(value: float | None, rate: float | None) -> float | None:
    if value is None or rate is None:
        return value
    return min(max(value, 0.0), max(rate, 0.0))


def _p(value: float | None) -> str:
    if value is None:
        return NONE
    return "p < 0.001" if value < 0.001 else f"p = {number(value, 3)}"


TOLD: dict[str, Callable[[Record], Terms]] = {
    "bdmc": _bdmc,
    "gap": _inference_gap,
    "calibration": _calibration,
    "latent": _latent,
    "samples": _samples,
}
