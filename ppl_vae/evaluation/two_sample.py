r"""Whether two samples come from one distribution: the maximum mean discrepancy.

For a kernel :math:`k`, rows :math:`a_1, \dots, a_n` and :math:`b_1, \dots, b_m`,

.. math:: \widehat{\mathrm{MMD}}^2 = \frac{1}{n (n - 1)} \sum_{i \neq j} k(a_i, a_j)
    + \frac{1}{m (m - 1)} \sum_{i \neq j} k(b_i, b_j) - \frac{2}{n m} \sum_{i, j} k(a_i, b_j)

is zero on average if both come from one distribution, whence it is often negative, and positive
on average if not, for any difference there may be. Its null is that of the same rows, told apart
at random: the p-value is exact, whatever the distribution.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

__all__ = ["TwoSample", "mmd_test"]

Kernel = Literal["rbf", "imq"]
r"""The kernels by name."""

BLOCK = 500
r"""The number of rows whose kernel is held at once."""
MEDIAN = 1000
r"""The number of rows whose distances tell the bandwidth."""


@dataclass(frozen=True)
class TwoSample:
    r"""What a test of two samples found."""

    mmd: float
    r"""The estimate of the squared discrepancy, without bias: below zero half of the time if the
    samples are alike."""
    p_value: float
    r"""How often samples that are alike are found as far apart, or further."""
    null: np.ndarray
    r"""The squared discrepancies of rows told apart at random, with shape ``(permutations,)``."""
    bandwidth: float
    r"""The scale of the kernel, in the units of the rows."""
    sizes: tuple[int, int]
    r"""The number of rows of each sample that were compared."""

    def summary(self) -> dict[str, Any]:
        r"""Plain values: ``mmd``, ``p_value``, the 95 % quantile of the null, ``bandwidth``,
        ``sizes``, the number of ``permutations``, ``level`` and ``verdict``.
        """
        alike = self.p_value > 0.05
        level = "good" if alike else "fair" if self.p_value > 0.01 else "poor"
        told = "are not told apart" if alike else "differ"
        return {
            "mmd": self.mmd,
            "p_value": self.p_value,
            "null_95": float(np.quantile(self.null, 0.95)),
            "bandwidth": self.bandwidth,
            "sizes": list(self.sizes),
            "permutations": len(self.null),
            "level": level,
            "verdict": f"The two samples {told} (maximum mean discrepancy, p = {self.p_value:.2g}"
            f" of {self.sizes[0]} against {self.sizes[1]} rows).",
        }

    def arrays(self) -> dict[str, np.ndarray]:
        r"""The null, as ``"null"``, and the discrepancy, as ``"mmd"``."""
        return {"null": self.null, "mmd": np.array(self.mmd)}


def mmd_test(
    a: Any,
    b: Any,
    *,
    permutations: int = 500,
    seed: int = 0,
    kernel: Kernel = "rbf",
    bandwidth: float | None = None,
    limit: int = 2000,
) -> TwoSample:
    r"""Tests whether two samples come from one distribution.

    The kernel is one of

    .. math:: k_\mathrm{rbf}(x, y) = \exp \Big( - \frac{\| x - y \|^2}{2 h^2} \Big) \qquad
        k_\mathrm{imq}(x, y) = \frac{h^2}{h^2 + \| x - y \|^2}

    By default :math:`h` is the median distance between rows of both samples together. Of :math:`P`
    permutations of the rows, those that are as far apart as the samples are, or further, tell

    .. math:: p = \frac{1 + \#\{ \widehat{\mathrm{MMD}}^2_\pi \geq \widehat{\mathrm{MMD}}^2 \}}
        {1 + P}

    which is at most :math:`\alpha` with probability :math:`\alpha` or less if the samples are
    alike. Columns count in their own units: rescale them where these say nothing.

    Example:
        >>> x = torch.randn(100, 3, generator=torch.Generator().manual_seed(1))
        >>> mmd_test(x[:50], x[50:]).p_value > 0.05
        True
        >>> mmd_test(x[:50], x[50:] + 2, permutations=99).p_value
        0.01

    References:
        | A Kernel Two-Sample Test (Gretton et al., 2012)
        | https://jmlr.org/papers/v13/gretton12a.html

    Arguments:
        a: The rows of one sample, with shape ``(n, *shape)``.
        b: The rows of the other, with shape ``(m, *shape)``.
        permutations: The number :math:`P` of permutations.
        seed: The seed of all that is drawn.
        kernel: ``"rbf"``, or ``"imq"``, the tails of which are heavier.
        bandwidth: The scale :math:`h`, in the units of the rows; None for the median heuristic.
        limit: The number of rows of each sample beyond which as many are chosen at random: time
            grows with its square.

    Raises:
        ValueError: If a sample has fewer than two rows, their shapes differ, a value is not
            finite, there is no such kernel, or an option is not positive.
    """
    if permutations < 1 or limit < 2 or (bandwidth is not None and not 0 < bandwidth < np.inf):
        raise ValueError(
            "The test takes one permutation or more, a limit of two rows or more, and a bandwidth "
            f"that is positive and finite or None; got permutations={permutations}, "
            f"limit={limit} and bandwidth={bandwidth}."
        )

    if kernel not in get_args(Kernel):
        raise ValueError(f"The kernel is one of {', '.join(get_args(Kernel))}, got {kernel!r}.")

    generator = torch.Generator().manual_seed(seed)
    a, b = (_some(rows, limit, generator) for rows in as_rows(a, b))
    x, n = torch.cat([a, b]), len(a)
    # The mean is of no account, but would cost digits.
    x = x - x.mean(0)
    h = _median(x, generator) if bandwidth is None else bandwidth
    chosen = _assignments(len(x), n, permutations, generator)
    found = _discrepancies(x, h, kernel, chosen, n)
    # What differs by rounding alone is a tie.
    above = int((found[1:] >= found[0] - 1e-12).sum())
    return TwoSample(
        mmd=float(found[0]),
        p_value=(1 + above) / (1 + permutations),
        null=found[1:].numpy(),
        bandwidth=h,
        sizes=(n, len(b)),
    )


def as_rows(a: Any, b: Any) -> tuple[Tensor, Tensor]:
    r"""Two samples as matrices in double precision on the CPU.

    Raises:
        ValueError: If a sample has fewer than two rows, their shapes differ, or a value is not
            finite.
    """
    a, b = (torch.as_tensor(rows).detach().cpu().double() for rows in (a, b))

    if min(a.ndim, b.ndim) < 1 or a.shape[1:] != b.shape[1:] or min(len(a), len(b)) < 2:
        raise ValueError(
            "Two samples need two rows each or more, of one shape, got the shapes "
            f"{tuple(a.shape)} and {tuple(b.shape)}."
        )
    if not (a.isfinite().all() and b.isfinite().all()):
        raise ValueError("The samples hold NaN or infinite values; drop those rows.")

    return a.reshape(len(a), -1), b.reshape(len(b), -1)


def squares(x: Tensor, y: Tensor) -> Tensor:
    r"""The squared distances of rows, with shape ``(n, m)``."""
    norms = x.square().sum(1)[:, None] + y.square().sum(1)
    return (norms - 2 * (x @ y.mT)).clamp(min=0)


def _some(rows: Tensor, limit: int, generator: torch.Generator) -> Tensor:
    return rows if len(rows) <= limit else rows[_order(len(rows), generator)[:limit]]


def _order(n: int, generator: torch.Generator) -> Tensor:
    return torch.randperm(n, generator=generator)


def _median(x: Tensor, generator: torch.Generator) -> float:
    # Of rows at random, which know nothing of the samples: the test stays exact.
    some = _some(x, MEDIAN, generator)
    i, j = torch.triu_indices(len(some), len(some), offset=1)
    apart = squares(some, some)[i, j].sqrt()
    # Discrete rows may be equal more often than not.
    h = float(apart.median()) or float(apart.mean())
    return h or 1.0


def _assignments(total: int, n: int, permutations: int, generator: torch.Generator) -> Tensor:
    # A column for the samples as they are, then one for each permutation: 1 where a row is in a.
    chosen = torch.zeros(total, 1 + permutations, dtype=torch.float64)
    chosen[:n, 0] = 1

    for p in range(permutations):
        chosen[_order(total, generator)[:n], 1 + p] = 1

    return chosen


def _discrepancies(x: Tensor, h: float, kernel: Kernel, chosen: Tensor, n: int) -> Tensor:
    m = len(x) - n
    aa, sums = x.new_zeros(chosen.shape[1]), x.new_zeros(len(x))

    # The kernel is made a few rows at a time, and never held.
    for start in range(0, len(x), BLOCK):
        part = slice(start, start + BLOCK)
        d = squares(x[part], x) / h**2
        k = (-d / 2).exp() if kernel == "rbf" else 1 / (1 + d)
        k.diagonal(start).zero_()
        aa += (chosen[part] * (k @ chosen)).sum(0)
        sums[part] = k.sum(1)

    a_all = sums @ chosen
    ab, bb = a_all - aa, sums.sum() - 2 * a_all + aa
    return aa / (n * (n - 1)) + bb / (m * (m - 1)) - 2 * ab / (n * m)
