r"""How well samples of a model match held-out data.

Each measure is taken twice at the same number of rows: between held-out data and samples of the
model, and between held-out data and other real data, which is what a perfect model would reach.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...modules import evaluating, modules_of, preserving
from ...weights import Program
from .comparison import Comparison, compare
from .features import fit_features
from .precision import MEASURES
from .sides import Given, sides
from .verdict import verdict

__all__ = ["SampleQuality", "sample_quality"]


LEAST = 99
r"""The number of permutations from which on a p-value can fall under 0.05, three tests counted."""


@dataclass(frozen=True)
class SampleQuality:
    r"""How samples compare with held-out data, and other real data beside them."""

    samples: Comparison
    r"""Held-out data against samples of the model."""
    real: Comparison
    r"""Held-out data against other real data: what is attainable."""
    draws: int
    r"""The number of rows of each side."""
    features: str
    r"""What the Fréchet distance is of."""
    sites: tuple[str, ...]
    r"""The observed sites that are compared."""
    rows: np.ndarray
    r"""Which rows of the batch were held out, with shape ``(draws,)``."""

    def summary(self) -> dict[str, Any]:
        r"""Plain values.

        Returns:
            ``samples`` and ``real``, each with the accuracy and p-value of the ``classifiers``,
            ``mmd``, ``precision``, ``recall``, ``density``, ``coverage`` and ``frechet``;
            ``frechet_excess``, by how much samples are further than real data; ``features``,
            ``neighbours``, ``draws``, ``sites``, ``level`` and ``verdict``.
        """
        level, words = verdict(self.samples, self.real, self.draws)
        return {
            "samples": self.samples.summary(),
            "real": self.real.summary(),
            "frechet_excess": self.samples.frechet - self.real.frechet,
            "features": self.features,
            "neighbours": self.samples.neighbours.neighbours,
            "draws": self.draws,
            "sites": list(self.sites),
            "level": level,
            "verdict": words,
        }

    def arrays(self) -> dict[str, np.ndarray]:
        r"""Arrays.

        Returns:
            ``scores`` and ``drawn`` of the network (for each row that it judged, the probability
            of being a sample, and whether it is); ``measures`` and ``errors`` (samples, then real
            data, by precision, recall, density and coverage, with shape ``(2, 4)``); ``mmd`` and
            ``null``; ``rows`` and ``recalled`` (which data were held out, and whether samples lie
            about them).
        """
        both = (self.samples, self.real)
        test = self.samples.classifiers["network"]
        return {
            "scores": test.scores,
            "drawn": test.second,
            "measures": np.array([c.neighbours.values for c in both]),
            "errors": np.array([[c.neighbours.errors[k] for k in MEASURES] for c in both]),
            **self.samples.mmd.arrays(),
            "rows": self.rows,
            "recalled": self.samples.neighbours.recalled,
        }


def sample_quality(
    model: Program,
    batch: Given,
    *,
    reference: Given | None = None,
    draws: int | None = None,
    labels: Tensor | None = None,
    neighbours: int = 5,
    features: int = 16,
    permutations: int = 500,
    replicates: int = 50,
    limit: int = 1000,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> SampleQuality:
    r"""Compares samples of the model, codes drawn from the prior, with held-out data.

    Classifiers and the maximum mean discrepancy test whether they differ; precision and density
    tell whether samples are like data, recall and coverage whether all data are drawn; the
    Fréchet distance is on features of a net that is fitted here, so it compares runs on the same
    data alone, and is not the FID. Data are compared as the model sees them, flattened. Time and
    memory (some :math:`30 m^2` bytes) grow with the square of the number :math:`m` of draws. No
    parameter, buffer, flag or random state changes.

    Example:
        >>> from ppl_vae.models import Linear
        >>> model = Linear(features=5, latent=2)
        >>> x = model(n=300).detach()
        >>> found = sample_quality(model, x, permutations=99)
        >>> found.draws, found.features
        (100, 'ppl_vae features: 5 principal components')
        >>> sorted(found.summary()["samples"]["classifiers"])
        ['linear', 'network']

    References:
        | Revisiting Classifier Two-Sample Tests (Lopez-Paz & Oquab, 2017)
        | https://arxiv.org/abs/1610.06545

        | Pros and Cons of GAN Evaluation Measures (Borji, 2019)
        | https://arxiv.org/abs/1802.03446

    Arguments:
        model: The program :math:`p(x, z)`, which takes the number of data as ``n``.
        batch: Held-out data: what the model is called with, by name, or the one tensor of data.
            What it does not observe, such as labels or exposures, is given to it for the draws.
        reference: Other real data, such as rows of the training split; if None, the batch is
            shared out.
        draws: The number :math:`m` of samples, held-out data and other real data; by default as
            many as there are data for, at most ``limit``.
        labels: The classes of the rows of ``reference``, or of ``batch`` if there is none, with
            shape ``(n,)``: the features tell them apart. Without them they are principal
            components.
        neighbours: The number :math:`k` of neighbours of precision and recall.
        features: The largest number of features.
        permutations: The number of permutations of the discrepancy.
        replicates: The number of halves that tell standard errors.
        limit: The largest number of draws by default.
        seed: The seed of all draws.
        progress: Called with 1 after the draws and after each of the two comparisons.

    Raises:
        ValueError: If there are fewer than 20 rows for each side or 99 permutations, a value is
            missing, the model takes no ``n``, or it observes nothing that it takes by the same
            name.
    """
    if permutations < LEAST:
        raise ValueError(
            f"The discrepancy takes {LEAST} permutations or more to be seen at 5 %, got "
            f"{permutations}."
        )
    tell = progress or (lambda _: None)
    cuda = [p.device for m in modules_of(model) for p in m.parameters() if p.is_cuda]

    with evaluating(model), preserving(model), torch.random.fork_rng(devices=set(cuda)):
        torch.manual_seed(seed)
        rows = sides(model, batch, reference, labels, draws=draws, limit=limit, seed=seed)
        tell(1)
        net = fit_features(rows.apart, rows.labels, size=features, seed=seed)
        against = partial(
            compare,
            rows.held,
            features=net,
            neighbours=neighbours,
            permutations=permutations,
            replicates=replicates,
            seed=seed,
        )
        samples = against(rows.drawn)
        tell(1)
        real = against(rows.other)
        tell(1)

    return SampleQuality(
        samples=samples,
        real=real,
        draws=len(rows.held),
        features=f"ppl_vae features: {net.name}",
        sites=rows.sites,
        rows=rows.rows.numpy(),
    )
