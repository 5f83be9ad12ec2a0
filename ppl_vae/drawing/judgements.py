r"""The figures of evaluations, from their records and arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from . import bounds, calibration, latent_use, sample_quality

__all__ = ["judgements"]

Record = Mapping[str, Any]
Arrays = Mapping[str, np.ndarray]
Figures = Iterator[tuple[str, Any]]


def judgements(record: Record, arrays: Arrays) -> dict[str, Any]:
    r"""The figures of an evaluation by name; none where a method has none.

    Arguments:
        record: The record.
        arrays: What :meth:`ppl_vae.Run.arrays_of` tells of it.
    """
    draw = DRAWN.get(record["method"])
    return {} if draw is None else dict(draw(record, arrays))


def _importance(record: Record, arrays: Arrays) -> Figures:
    if np.isfinite(arrays["khat"]).any():
        yield "tails", bounds.tails(arrays["ess"], arrays["khat"], record["particles"])


def _bdmc(record: Record, arrays: Arrays) -> Figures:
    yield (
        "sandwich",
        bounds.sandwich(
            arrays["lower"], arrays["upper"], arrays.get("importance"), arrays.get("cubo")
        ),
    )


def _gap(record: Record, arrays: Arrays) -> Figures:
    yield "gaps", bounds.gaps(arrays["amortization"], arrays["family"])


def _calibration(record: Record, arrays: Arrays) -> Figures:
    def chosen(kind: str) -> dict[str, Any]:
        of = np.isin(arrays["kinds"], kind.split())
        names = [str(name) for name in arrays["names"][of]]
        return {"of": of, "names": names, "adjusted": arrays["adjusted"][of]}

    edges: dict[str, Any] = {k: float(arrays[k]) for k in ("bar_low", "bar_high")}
    for name, kind, draw in (
        ("ranks", "latent density", calibration.rank_histograms),
        ("predictions", "predictive", calibration.pit_histograms),
    ):
        part = chosen(kind)
        yield name, draw(arrays["bars"][part.pop("of")], **part, **edges, rate=record["rate"])

    part = chosen("latent density")
    band = {"low": arrays["low"], "high": arrays["high"], "rate": record["rate"]}
    differences = arrays["differences"][part.pop("of")]
    yield "differences", calibration.rank_differences(arrays["levels"], differences, **part, **band)

    of = chosen("coverage")["of"]
    rejected = arrays["adjusted"][of][0] <= record["rate"]
    yield (
        "coverage",
        calibration.coverage_curve(
            arrays["levels"], arrays["differences"][of][0], **band, rejected=rejected
        ),
    )


def _latent(record: Record, arrays: Arrays) -> Figures:
    for site in record["sites"]:
        yield (
            f"dimensions_{site}",
            latent_use.dimensions(
                arrays.get(f"elements_{site}"),
                arrays[f"activity_{site}"],
                arrays[f"active_{site}"],
                site=site,
            ),
        )
        yield (
            f"aggregate_{site}",
            latent_use.aggregate_posterior(
                arrays[f"posterior_{site}"], arrays[f"prior_{site}"], site=site
            ),
        )

    if "curve_rate" in arrays:
        R, D = arrays["curve_rate"], arrays["curve_distortion"]
        # The guide's own point is that of the same data, the first.
        rate, distortion = (float(arrays[k][: R.shape[1]].mean()) for k in ("rate", "distortion"))
        curve = bounds.rate_distortion(R.mean(1), D.mean(1), (rate, distortion))
        yield "rate_distortion", curve


def _samples(record: Record, arrays: Arrays) -> Figures:
    scores, drawn, measures, errors = (
        arrays[name] for name in ("scores", "drawn", "measures", "errors")
    )
    yield "classifier", sample_quality.sample_quality(scores, drawn, measures, errors)


DRAWN: dict[str, Callable[[Record, Arrays], Figures]] = {
    "importance": _importance,
    "bdmc": _bdmc,
    "gap": _gap,
    "calibration": _calibration,
    "latent": _latent,
    "samples": _samples,
}
