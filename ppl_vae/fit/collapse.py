r"""Posterior collapse, as a training sees it come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..evaluation.latent.site import COLLAPSED

__all__ = ["collapse"]

PATIENCE = 3
r"""The number of epochs after which a site that was never used is told of."""


def collapse(row: Mapping[str, Any], previous: Sequence[Mapping[str, Any]] = ()) -> str | None:
    r"""Warns of a latent site that the guide has stopped to use, or never began to.

    A site whose divergence :math:`\mathrm{KL}(q \| p)` is under :data:`COLLAPSED` nats per datum
    holds next to nothing of the data. It is told of in the epoch in which it falls under that, and
    in the third one of a training in which it never was above; not again while it stays there.

    Example:
        >>> collapse({"train_kl": 0.02}, [{"train_kl": 3.1}])
        'The KL of the latent variables has fallen to 0.02 nats per datum, under 0.1: ...'
        >>> collapse({"train_kl": 2.9}, [{"train_kl": 3.1}]) is None
        True

    Arguments:
        row: The metrics of an epoch: ``kl``, and ``kl_SITE`` where there are several sites, as they
            are or after ``train_`` or ``validation_``.
        previous: The rows before it, in their order.

    Returns:
        A sentence, or None.
    """
    notes = []

    for site, kl in _divergences(row).items():
        if not kl < COLLAPSED:
            continue
        before = [_divergences(r)[site] for r in previous if site in _divergences(r)]
        fell = bool(before) and before[-1] >= COLLAPSED
        never = len(before) == PATIENCE - 1 and all(k < COLLAPSED for k in before)
        if fell or never:
            name = f"site {site!r}" if site else "the latent variables"
            how = "has fallen to" if fell else f"is after {PATIENCE} epochs still"
            notes.append(f"The KL of {name} {how} {kl:.2g} nats per datum, under {COLLAPSED:g}")

    if not notes:
        return None
    return "; ".join(notes) + (
        ": the posterior collapses to the prior, and the codes tell nothing of the data. Warm the "
        "KL up over more epochs, give it free bits, or take a weaker decoder."
    )


def _divergences(row: Mapping[str, Any]) -> dict[str, float]:
    # By site; those of validation data before those of training.
    for split in ("validation_", "train_", ""):
        found = {
            name.removeprefix(split): float(value)
            for name, value in row.items()
            if name.startswith(f"{split}kl") and isinstance(value, int | float)
        }
        found.pop("kl_weight", None)  # the schedule's, not that of a site
        sites = {k.removeprefix("kl_"): kl for k, kl in found.items() if k.startswith("kl_")}
        if sites or "kl" in found:
            return sites or {"": found["kl"]}

    return {}
