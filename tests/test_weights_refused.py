r"""One sentence for each program, and for data, that have no weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from program_cases import D, d, grey, hierarchical, linear, n, other_plate, q, vae
from pyro import poutine
from torch import Tensor

from ppl_vae import families, priors
from ppl_vae.weights import log_joint, log_weights, rescore, simulate


class _Unit(families.Family):
    r"""Elements in the unit interval."""

    def forward(self, h: Tensor) -> Any:
        (h,) = self.unbind(h)
        return dist.Beta(h.exp(), h.exp()).to_event(len(self.event_shape))


def program(
    *,
    latent: str | None = "z",
    extra: bool = False,
    plate: bool = True,
    scale: float = 1.0,
    event: bool = True,
    family: Any = dist.Normal,
) -> Callable[[Tensor], None]:
    r"""A model with one fault."""

    def model(x: Tensor) -> None:
        rows = pyro.plate("data", len(x), dim=-1) if plate else poutine.block(hide_all=False)
        with rows:
            shape = () if plate else (len(x),)
            z = pyro.sample("z", dist.Normal(torch.zeros(*shape, d), 1.0).to_event(1))
            if extra:
                pyro.sample("w", dist.Normal(0.0, 1.0))
            loc = z.sum(-1, keepdim=True).expand(*z.shape[:-1], D)
            with poutine.scale(scale=scale):
                p = family(loc)
                pyro.sample("x", p.to_event(1) if event else p, obs=x)

    return model


def gauss(loc: Tensor) -> Any:
    return dist.Normal(loc, 1.0)


def coin(loc: Tensor) -> Any:
    return dist.Bernoulli(logits=loc)


def count(loc: Tensor) -> Any:
    return dist.Binomial(16, logits=loc)


def loose_guide(x: Tensor) -> None:
    pyro.sample("z", dist.Normal(torch.zeros(len(x), d), 1.0).to_event(1))


def two_rows(x: Tensor) -> None:
    for name in ("rows", "sites"):
        with pyro.plate(name, len(x), dim=-1):
            pyro.sample(f"z_{name}", dist.Normal(0.0, 1.0))


REFUSED: dict[str, tuple[Any, Any, Tensor, str]] = {
    "guide forgets": (program(family=gauss), q(), grey, r"not draw latent site 'z'.*nothing"),
    "guide forgets one": (
        program(family=gauss, extra=True),
        q("z"),
        grey,
        r"not draw latent site 'w' of the model; it draws \['z'\]",
    ),
    "guide invents": (
        program(family=gauss),
        q("z", "u"),
        grey,
        r"guide draws site 'u', which is no latent site of the model; those are \['z'\]",
    ),
    "no plate": (
        program(family=gauss, plate=False),
        loose_guide,
        grey,
        r"none, and the batch has 4",
    ),
    "loose guide": (
        program(family=gauss),
        loose_guide,
        grey,
        r"Site 'z' has log density of shape \((3, 4|4,)\).*dimension -1 lies in no plate",
    ),
    "no event": (
        program(family=gauss, event=False),
        q("z"),
        torch.rand(n, n),
        r"(Shape mismatch|Site 'x')",
    ),
    "no event of another size": (
        program(family=gauss, event=False),
        q("z"),
        grey,
        r"Site 'x' has batch dimension 5 where the plate 'data' has 4 rows.*\.to_event\(1\)",
    ),
    "scale": (program(family=gauss, scale=0.5), q("z"), grey, r"'x' is scaled by 0.5.*kl_weight"),
    "grey pixels": (
        program(family=coin),
        q("z"),
        grey,
        r"'x' lie outside of the support of Bernoulli: they range from .* binarize",
    ),
    "too many": (
        program(family=count),
        q("z"),
        torch.full((n, D), 17.0),
        r"'x' lie outside of the support of Binomial.*from 17 to 17.*larger total",
    ),
    "negative": (program(family=count), q("z"), -torch.ones(n, D), r"range from -1 to -1"),
    "nan": (program(family=gauss), q("z"), grey * math.nan, r"'x' hold NaN or infinite values"),
    "infinite": (program(family=coin), q("z"), grey / 0, r"'x' hold NaN or infinite values"),
    "wide": (
        program(family=gauss),
        q("z"),
        torch.zeros(n, D + 1),
        r"'x' have shape \(4, 6\), but the likelihood draws \((3, )?4, 5\)",
    ),
    "flat": (program(family=gauss), q("z"), torch.zeros(n), r"'x' have shape \(4,\)"),
    "two plates": (two_rows, two_rows, torch.zeros(n), r"\['rows', 'sites'\], and the batch has 4"),
}


# Programs and data that are refused, with site and shapes


@pytest.mark.parametrize("K", [1, 3])
@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, K: int) -> None:
    model, guide, x, sentence = REFUSED[name]

    with pytest.raises(ValueError, match=sentence):
        log_weights(model, guide, x, K)


@pytest.mark.parametrize("K", [1, 3])
def test_inner_dimension_without_plate(K: int) -> None:
    r"""A batch dimension that no plate explains, left of the data's."""

    def model(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            with pyro.plate("inner", 2, dim=-2):
                pyro.sample("x", dist.Normal(z, 1.0), obs=x.mT)

    def guide(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Normal(torch.zeros(2, n), 1.0))

    with pytest.raises(ValueError, match=r"(Site 'z'|[Ss]hape)"):
        log_weights(model, guide, torch.randn(n, 2), K)


def test_values_refused() -> None:
    model, guide, x = hierarchical()
    w = log_weights(model, guide, x, 3)
    values = {name: site.value for name, site in w.sites.items()}

    with pytest.raises(ValueError, match=r"'z2'"):
        rescore(model, guide, x, {"z1": values["z1"]})
    with pytest.raises(ValueError, match=r"'z2'"):
        log_joint(model, x, {"z1": values["z1"]})
    with pytest.raises(ValueError, match=r"one number of particles.*'z1': 3.*'z2': 2"):
        rescore(model, guide, x, {"z1": values["z1"], "z2": values["z2"][:2]})


@pytest.mark.parametrize("K", [0, -1])
def test_sizes_refused(K: int) -> None:
    model, guide, x = linear()

    with pytest.raises(ValueError, match=rf"particles must be positive, got {K}"):
        log_weights(model, guide, x, K)
    with pytest.raises(ValueError, match=rf"must be positive, got {K}"):
        simulate(model, K)
    with pytest.raises(ValueError, match=r"takes no n.*Predictive"):
        simulate(other_plate()[0], 3)


@pytest.mark.parametrize("K", [1, 3])
def test_guides_fail_with_a_sentence(K: int) -> None:
    r"""A guide that reads NaN fails before the likelihood is known, and says why all the same."""
    model, guide, x = linear()

    for bad, batch in (("x", {"x": x / 0}), ("of the batch", x * math.nan)):
        with pytest.raises(ValueError, match=rf"The data {bad} hold NaN or infinite values"):
            log_weights(model, guide, batch, K)


@pytest.mark.parametrize(
    "prior, posterior, words",
    [
        (priors.StandardNormal((2,)), families.Bernoulli((2,)), "is continuous in the model"),
        (priors.Bernoulli((2,)), families.Normal((2,)), "is discrete in"),
        (priors.FamilyPrior((2,), _Unit), families.Normal((2,)), "outside of the support"),
    ],
    ids=["discrete draws", "continuous draws", "draws outside"],
)
def test_draws_that_the_model_has_no_density_for(
    prior: priors.Prior, posterior: families.Family, words: str
) -> None:
    model, guide, x = vae(prior, posterior, families.Normal((D,)))

    with pytest.raises(ValueError, match=rf"'z' .*{words}|{words}"):
        log_weights(model, guide, x, 3)


# Where checks are off


def test_lenient() -> None:
    r"""Grey pixels pass with a warning where the program says so, and the caller too."""

    def unchecked(loc: Tensor) -> Any:
        return dist.Bernoulli(logits=loc, validate_args=False)

    for K in (1, 3):
        with pytest.warns(UserWarning, match=r"support of Bernoulli.*bounds mean nothing"):
            log_weights(program(family=unchecked), q("z"), grey, K, lenient=True)
        with pytest.raises(ValueError, match=r"support of Bernoulli"):
            log_weights(program(family=unchecked), q("z"), grey, K)
        with pytest.raises(ValueError, match=r"support"):
            log_weights(program(family=coin), q("z"), grey, K, lenient=True)


def test_validation_off() -> None:
    r"""Pyro's own switch turns the checks of values off, for speed."""
    with pyro.validation_enabled(False):
        w = log_weights(program(family=gauss), q("z"), grey * math.nan)

    assert w.likelihood.isnan().all()
