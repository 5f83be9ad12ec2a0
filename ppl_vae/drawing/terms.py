r"""What the record of an evaluation tells, as terms and values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .page import number, percent

__all__ = ["ESTIMATES", "count", "log_evidence", "terms"]

Record = Mapping[str, Any]
Terms = Iterator[tuple[str, str]]

NONE = "\N{EN DASH}"


def terms(record: Record) -> list[tuple[str, str]]:
    r"""The terms of a record with their values; those that it does not tell are left out.

    Example:
        >>> terms({"method": "ais", "log_evidence": -3.0, "standard_error": 0.5, "ess": None})[0]
        ('log p(x)', '-3.00 ± 0.50')
    """
    told = [*TOLD.get(record.get("method", "importance"), _estimate)(record)]
    told.append(("seconds", _seconds(record)))
    return [(term, value) for term, value in told if value != NONE]


def log_evidence(record: Record) -> str:
    r"""log p(x) with its standard error."""
    return _with_error(record["log_evidence"], record.get("standard_error"))


def count(x: float | None) -> str:
    r"""A whole number, in groups of three digits."""
    return "–" if x is None else f"{x:,.0f}"


def _estimate(record: Record) -> Terms:
    for term, (show, _) in ESTIMATES.items():
        if term != "seconds":
            yield term, str(show(record))

    if (above := record.get("above_importance")) is not None:
        told = _with_error(above["difference"], above["standard_error"])
        yield f"above {count(above['particles'])} particles, same data", told
    if (misfit := record.get("misfit")) is not None:
        yield from _misfit(misfit)


def _misfit(misfit: Record) -> Terms:
    yield (
        "posterior's width over the guide's",
        _with_error(misfit["width"], misfit["width_error"]),
    )
    yield (
        "posterior's distance, in widths of the guide",
        _with_error(misfit["shift"], misfit["shift_error"]),
    )


def _bdmc(record: Record) -> Terms:
    low, high = record["edges"]
    K = count(record.get("importance_particles"))
    yield "log p(x), 95 % over draws", f"{number(low)} to {number(high)}"
    yield "annealing forward, ± over data", _with_error(record["lower"], record["lower_error"])
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
        told = _with_error(record[f"{part}_gap"], record[f"{part}_gap_error"])
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
    yield "KL (rate)", _with_error(record["rate"], record["rate_error"])
    yield "distortion", _with_error(record["distortion"], record["distortion_error"])
    for term, key in (("mutual information", "information"), ("KL(q(z), p(z))", "marginal_kl")):
        if (part := record[key]) is not None:
            yield term, f"{number(part['lower'])} to {number(part['upper'])}"
    yield "codes against draws of the prior", _p(record["aggregate"]["p_value"])
    if probe := record.get("probe"):
        told = f"{percent(probe['accuracy'])} ± {percent(probe['standard_error'])}"
        yield "linear probe", f"{told}, guessing {percent(probe['baseline'])}"
    if clusters := record.get("clusters"):
        told = f"ARI {number(clusters['ari'])}, NMI {number(clusters['nmi'])}"
        yield "k-means against the labels", told


def _samples(record: Record) -> Terms:
    real = record.get("real")

    def beside(show: Callable[[Record], str]) -> str:
        own = show(record["samples"])
        return own if real is None else f"{own} (other real data: {show(real)})"

    for kind in record["samples"]["classifiers"]:
        yield (
            f"{kind} classifier",
            beside(lambda r, kind=kind: percent(r["classifiers"][kind]["accuracy"])),  # type: ignore[misc]
        )
    yield "maximum mean discrepancy", beside(lambda r: _p(r["mmd"]["p_value"]))
    for name in ("precision", "recall", "density", "coverage"):
        yield name, beside(lambda r, name=name: _with_error(*_measure(r[name])))  # type: ignore[misc]
    yield (
        f"Fréchet distance, {record['features'].partition(': ')[2]}",
        beside(lambda r: _with_error(*_measure(r["frechet"]))),
    )


def _measure(part: Record) -> tuple[Any, Any]:
    return part["value"], part["standard_error"]


def _with_error(value: float | None, error: float | None) -> str:
    return number(value) if error is None else f"{number(value)} ± {number(error)}"


def _p(value: float | None) -> str:
    if value is None:
        return NONE
    return "p < 0.001" if value < 0.001 else f"p = {number(value, 3)}"


def _seconds(record: Record) -> str:
    if record.get("seconds") is None:
        return NONE
    return f"{number(record['seconds'], 1)} on {record.get('device', 'an unknown device')}"


def _pair(name: str, *keys: str) -> Callable[[Record], str]:
    def show(record: Record) -> str:
        values = [number((record.get(name) or {}).get(key)) for key in keys]
        return " / ".join(values) if set(values) != {NONE} else NONE

    return show


def _gap(record: Record) -> str:
    elbo, log_p = record.get("elbo"), record["log_evidence"]
    return number(None if elbo is None or log_p is None else log_p - elbo)


ESTIMATES: dict[str, tuple[Callable[[Record], Any], str]] = {
    "log p(x)": (
        log_evidence,
        "Nats per datum, the higher the better; a lower bound on average, which rises with the "
        "particles. ± is the standard error over data: what as many other data would change.",
    ),
    "Monte Carlo error": (
        lambda r: number(r.get("monte_carlo_error"), 3),
        "Nats: what other draws would change. It should be far below the standard error.",
    ),
    "bits per dimension": (
        lambda r: number(r.get("bits_per_dim"), 4),
        "Minus log p(x) as a code length, the lower the better.",
    ),
    "ELBO": (
        lambda r: number(r.get("elbo")),
        "Nats per datum: the bound that training raises.",
    ),
    "log p(x) - ELBO": (
        _gap,
        "Nats per datum: what the approximate posterior costs.",
    ),
    "reconstruction": (
        lambda r: number(r.get("reconstruction")),
        "Nats per datum: how well x follows from its code. The ELBO is this less the KL.",
    ),
    "KL": (
        lambda r: number(r.get("kl")),
        "Nats per datum: what the code costs. Near zero, it is not used.",
    ),
    "effective sample size, median / least": (
        _pair("ess", "median", "min"),
        "Over data: how many of the particles count. Near 1, one draw carries all.",
    ),
    "k-hat, median / greatest": (
        _pair("khat", "median", "max"),
        "Over data: how heavy the tail of the weights is. Below 0.5 is good; "
        "above 0.7, the estimate for this datum is not reliable.",
    ),
    "k-hat over 0.7": (
        lambda r: percent((r.get("khat") or {}).get("share_over_0.7")),
        "The share of data whose estimate is not reliable.",
    ),
    "estimator": (
        lambda r: r.get("estimator", r.get("method", "–")),
        "How log p(x) was estimated.",
    ),
    "seconds": (
        _seconds,
        "What the evaluation took.",
    ),
}
r"""What estimates of log p(x) tell, and how to read it."""

TOLD: dict[str, Callable[[Record], Terms]] = {
    "bdmc": _bdmc,
    "gap": _inference_gap,
    "calibration": _calibration,
    "latent": _latent,
    "samples": _samples,
}
