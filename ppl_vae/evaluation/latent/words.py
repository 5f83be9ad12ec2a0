r"""What the use of the latent variables comes to, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from .site import SiteUse

if TYPE_CHECKING:
    from .result import LatentUse

__all__ = ["FAR", "FEW", "verdict"]

FAR = 0.01
r"""The p-value under which the aggregate posterior is told to differ from the prior."""

FEW = 100
r"""The number of data under which little can be told."""


def verdict(use: LatentUse) -> tuple[str, str]:
    r"""Whether the latent variables do their work.

    Arguments:
        use: How they are used.

    Returns:
        ``"poor"`` where a whole site is unused, ``"fair"`` where more than half of all elements
        are, the aggregate posterior differs from the prior, or there are fewer than :data:`FEW`
        data, and else ``"good"``; and the sentences that say why.
    """
    parts = [_unused(use.sites), ("good", _informed(use)), _matched(use)]
    if len(use) < FEW:
        parts.append(("fair", f"With {len(use)} data little of this is sure: give {FEW} or more."))

    order = ("good", "fair", "poor")
    return max((level for level, _ in parts), key=order.index), " ".join(note for _, note in parts)


def _unused(sites: Mapping[str, SiteUse]) -> tuple[str, str]:
    notes, level = [], "good"
    idle = sum(int((~site.active).sum()) for site in sites.values())
    total = sum(len(site.active) for site in sites.values())

    for name, site in sites.items():
        kl = max(float(site.kl.mean()), 0.0)
        if site.collapsed:
            level = "poor"
            notes.append(
                f"Site {name!r} has collapsed: no dimension is active, and its KL is {kl:.2g} nats "
                "per datum. Its codes tell nothing of the data; train anew with a KL warm-up or "
                "free bits, or a weaker decoder, or leave the site out."
            )
        elif not bool(site.active.any()):
            level = "poor"
            notes.append(
                f"No dimension of site {name!r} is active, yet its KL is {kl:.3g} nats per datum: "
                "the posterior hardly moves with the data, but is not the prior. Train longer, or "
                "learn the prior."
            )
        elif not bool(site.active.all()):
            notes.append(_some(name, site))

    if not notes:
        return "good", f"All {total} dimensions are active." if total > 1 else "The code is active."
    return "fair" if level == "good" and 2 * idle > total else level, " ".join(notes)


def _some(name: str, site: SiteUse) -> str:
    idle = (~site.active).nonzero().flatten().tolist()
    which = ", ".join(map(str, idle[:10])) + (", ..." if len(idle) > 10 else "")
    few, cost = len(idle) == 1, ""

    if site.elements is not None:
        cost = f"; {'it costs' if few else 'they cost'} {float(site.elements[idle].sum()):.2g} nats"

    return (
        f"Of site {name!r} {len(idle)} of {len(site.active)} dimensions {'is' if few else 'are'} "
        f"unused ({which}, counted from 0){cost}. A smaller code would do as well."
    )


def _informed(use: LatentUse) -> str:
    mutual, ceiling = use.information.mutual, use.information.ceiling
    rate = float(use.information.kl.mean())

    if mutual.lower > 0.95 * ceiling:
        return (
            f"The codes tell the data apart: they hold {mutual.lower:.2f} nats or more, and "
            f"{len(use)} data can show no more than {ceiling:.2f}."
        )
    # Against a prior that differs between data, the rate is no bound.
    upper = mutual.upper if use.given else min(mutual.upper, rate)
    if mutual.lower < 2 * mutual.lower_error or upper < 0.01:
        return "The codes hold no information of the data that these could show."
    # The KL is an upper bound too, but of the same draws: noise may put it below.
    held = f"{mutual.lower:.2f} to {max(upper, mutual.lower):.2f}"
    if use.given:
        return (
            f"The codes hold {held} nats of information of the data, of which the prior is given a "
            f"part; beyond that they cost {rate:.2f} nats."
        )
    return f"Of the KL of {rate:.2f} nats, {held} are mutual information of codes and data."


def _matched(use: LatentUse) -> tuple[str, str]:
    test, marginal = use.test, use.information.marginal

    if test.p_value >= FAR:
        return "good", (
            f"Between {min(test.sizes)} codes of data and draws of the prior no difference was "
            f"found (p = {test.p_value:.2g})."
        )

    apart = [name for name, site in use.sites.items() if site.test.p_value < FAR]
    where = f", at site {', '.join(map(repr, apart))}" if apart and len(use.sites) > 1 else ""
    low = max(marginal.lower, 0.0)
    far = "" if use.given else f", by {low:.2f} to {max(marginal.upper, low):.2f} nats"
    return "fair", (
        f"The codes of the data differ from draws of the prior{where} (p = {test.p_value:.2g})"
        f"{far}: samples start in part where no datum "
        "lies, and look worse than reconstructions. Learn the prior (Vamp, Flow, GaussianMixture), "
        "or fit one to the codes after training."
    )
