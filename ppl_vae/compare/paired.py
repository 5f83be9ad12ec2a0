r"""The difference of two models on the same data, which is known better than either evidence.

What makes a datum likely or unlikely under any model cancels in :math:`d_i = \log p(x_i) -
\log p'(x_i)`. For one run of each, the error of the mean of :math:`d` is that over data,
:math:`\mathrm{sd}(d) / \sqrt{n}`: another test set, and other draws of the estimates, would move it
so much. It says nothing of another training. For :math:`S` seeds of each, with :math:`d_{si}` by
seed and datum, both are random, and the variance of the mean is

.. math:: \frac{\mathrm{var}_i(\bar{d}_{\cdot i})}{n} + \frac{\mathrm{var}_s(\bar{d}_{s \cdot})}{S}
    - \frac{\mathrm{var}(d_{si} - \bar{d}_{s \cdot} - \bar{d}_{\cdot i} + \bar{d})}{n S}

where the last term is what both of the others count. Neither covers the bias of the estimates,
which lie below the truth, each by as much as its guide is off.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

__all__ = ["Paired", "paired"]


@dataclass(frozen=True)
class Paired:
    r"""The difference of two models on the same data."""

    difference: float
    r"""The difference of the mean :math:`\log p(x)`, in nats per datum."""
    standard_error: float
    r"""Its standard error; NaN for one datum."""
    z: float
    r"""How many standard errors it is from zero, as a standard normal number: a difference over
    its error that has few degrees of freedom says less, and is told as the normal number that is
    as improbable."""
    over: str
    r"""What the error covers: ``"data"``, or ``"seeds and data"``."""
    degrees_of_freedom: float
    r"""Those of the error, by Welch and Satterthwaite."""

    def summary(self) -> dict[str, Any]:
        r"""The fields as plain values."""
        return asdict(self)


def paired(values: Mapping[int, np.ndarray], others: Mapping[int, np.ndarray]) -> Paired:
    r"""Compares two models on the same data.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> easy = 10 * rng.normal(size=1000)
        >>> a, b = easy + rng.normal(size=1000), easy + rng.normal(size=1000)
        >>> found = paired({0: a}, {0: b})
        >>> bool(found.standard_error < 0.2 * np.std(a) / 1000**0.5), found.over
        (True, 'data')

    References:
        | The Approximate Distribution of Estimates of Variance Components (Satterthwaite, 1946)
        | https://doi.org/10.2307/3002019

    Arguments:
        values: For each seed of the one, :math:`\log p(x)` of each datum, with shape ``(n,)``.
        others: For each seed of the other, the same for the same data. Where both have the same
            seeds, these are paired too.

    Raises:
        ValueError: If the data are not the same in number, or there are none.
    """
    sizes = {np.shape(v) for v in (*values.values(), *others.values())}
    if not values or not others or len(sizes) != 1 or len(size := sizes.pop()) != 1 or not size[0]:
        raise ValueError(
            "A paired comparison takes one number for each of the same data, from one or more "
            "seeds of both; evaluate all runs on the same rows."
        )

    same = set(values) == set(others)
    a, b = (np.stack([v[s] for s in sorted(v)]).astype(float) for v in (values, others))
    data, degrees = _part(a.mean(0) - b.mean(0))
    pairs = [a - b] if same else [a, b]
    # That of one seed is not known.
    seeds = [_part(part.mean(1)) for part in pairs if min(len(a), len(b)) > 1]
    both = sum(_both(part) for part in pairs) if seeds else 0.0
    parts = [(max(data - both, 0.0) if seeds else data, degrees), *seeds]
    variance = sum(v for v, _ in parts)
    difference = float(a.mean() - b.mean())
    freedom = _satterthwaite(parts)
    return Paired(
        difference=difference,
        standard_error=variance**0.5,
        z=_z(difference, variance**0.5, freedom),
        over="seeds and data" if seeds else "data",
        degrees_of_freedom=freedom,
    )


def _part(means: np.ndarray) -> tuple[float, int]:
    # The variance of the mean of these, and its degrees of freedom.
    n = len(means)
    return (float(means.var(ddof=1)) / n if n > 1 else math.nan), n - 1


def _both(d: np.ndarray) -> float:
    S, n = d.shape
    rest = d - d.mean(1, keepdims=True) - d.mean(0) + d.mean()
    return float(np.square(rest).sum()) / max((S - 1) * (n - 1), 1) / (S * n)


def _satterthwaite(parts: Sequence[tuple[float, float]]) -> float:
    total = sum(v for v, _ in parts)
    squares = sum(v**2 / freedom for v, freedom in parts if freedom > 0)
    return total**2 / squares if squares > 0 else parts[0][1]


def _z(difference: float, error: float, freedom: float) -> float:
    if math.isnan(error) or freedom <= 0:
        return math.nan
    if error == 0:
        return math.copysign(math.inf, difference) if difference else 0.0

    from scipy.stats import norm, t

    ratio = abs(difference) / error
    tail = float(t.sf(ratio, freedom))
    if tail > 1e-300:
        return math.copysign(float(norm.isf(tail)), difference)

    # Where probabilities underflow, the approximation of Wallace (1959) is exact to a thousandth.
    z = (freedom * math.log1p(ratio**2 / freedom)) ** 0.5 * (8 * freedom + 1) / (8 * freedom + 3)
    return math.copysign(z, difference)
