r"""What estimates of log p(x) tell, and how to read it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .page import number, percent

__all__ = ["ESTIMATES", "NONE", "count", "log_evidence", "seconds", "subject", "with_error"]

Record = Mapping[str, Any]

NONE = number(None)
r"""What stands where nothing is told."""


def log_evidence(record: Record) -> str:
    r"""log p(x) with its standard error."""
    return with_error(record["log_evidence"], record.get("standard_error"))


def count(x: float | None) -> str:
    r"""A whole number, in groups of three digits."""
    return NONE if x is None else f"{x:,.0f}"


def subject(record: Record) -> str:
    r"""The data that an evaluation is of.

    Example:
        >>> subject({"method": "gap", "n": 1000, "split": "test"})
        '1,000 data of test'
    """
    simulated = record["method"] in ("bdmc", "calibration")
    return f"{count(record['n'])} {'simulated data' if simulated else 'data of ' + record['split']}"


def with_error(value: float | None, error: float | None) -> str:
    r"""A number with its standard error, if there is one."""
    return number(value) if error is None else f"{number(value)} ± {number(error)}"


def seconds(record: Record) -> str:
    r"""The seconds that an evaluation took, and the device."""
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
    "ELBO of the refined guide": (
        lambda r: number(r.get("refined_elbo")),
        "Nats per datum: that of posteriors refined for each datum, not of the run's guide.",
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
        lambda r: r.get("estimator", r.get("method", NONE)),
        "How log p(x) was estimated.",
    ),
    "seconds": (
        seconds,
        "What the evaluation took.",
    ),
}
r"""By term, what shows its value, and how to read it."""
