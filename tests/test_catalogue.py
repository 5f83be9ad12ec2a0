r"""Laws of the catalogue: what is legal runs, what is not is refused with a sentence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache, partial
from itertools import combinations, product
from pathlib import Path

import pytest
import torch

from ppl_vae.cli import main
from ppl_vae.evaluation import log_evidence
from ppl_vae.listing import KINDS, PLURAL, compose, listed, pair_verdict, scored, suited, verdict_of
from ppl_vae.objectives import ELBO
from ppl_vae.svi import SVI

ROOT = Path(__file__).resolve().parent.parent
ROLES = tuple(PLURAL)
CURES = ("take ", "Use ", "use ", "give ", "such as ")
r"""What a sentence that tells what to do holds one of."""

ASKING = ("RAE", "VAEGAN")
r"""The objectives that ask something of the likelihood: a mean, along which gradients flow."""

Choice = dict[str, str]


@cache
def names(role: str) -> tuple[str, ...]:
    # Other tests have parts of their own.
    parts = listed(PLURAL[role]).items()
    return tuple(
        name
        for name, part in parts
        if part.__module__.startswith("ppl_vae.") and (role != "likelihood" or scored(part))
    )


@cache
def reason(first: str, a: str, second: str, b: str) -> str:
    r"""Why two parts do not go together, all others suited to them; nothing if they do."""
    if first == "likelihood" and second == "posterior":
        return reason("posterior", b, "guide", "Amortized")  # some are no posteriors at all
    if (first == "likelihood" and b not in ASKING) or second == "likelihood":
        return ""  # it goes with all others
    if (first, second) == ("prior", "objective") and any(
        not reason("prior", a, "posterior", q) and not reason("posterior", q, "objective", b)
        for q in names("posterior")
    ):
        return ""  # some posterior goes with both
    return pair_verdict(first, listed(PLURAL[first])[a], second, listed(PLURAL[second])[b]).reason


def pair(first: str, a: str, second: str, b: str) -> tuple[str, str, str, str]:
    return (
        (first, a, second, b) if ROLES.index(first) < ROLES.index(second) else (second, b, first, a)
    )


def beside(choice: Mapping[str, str], role: str, name: str) -> list[tuple[str, str, str, str]]:
    r"""The pairs of one more part with those that are chosen."""
    return [pair(known, choice[known], role, name) for known in choice]


def fits(choice: Mapping[str, str], role: str, name: str) -> bool:
    return not any(reason(*both) for both in beside(choice, role, name))


@cache
def cover() -> list[Choice]:
    r"""Combinations in which each legal pair of parts occurs."""
    legal = sorted(
        (first, a, second, b)
        for first, second in combinations(ROLES, 2)
        for a, b in product(names(first), names(second))
        if not reason(first, a, second, b)
    )
    left, found = set(legal), []

    for first, a, second, b in legal:
        if (first, a, second, b) not in left:
            continue
        choice = {first: a, second: b}
        for role in ROLES:
            if role not in choice:
                fitting = [name for name in names(role) if fits(choice, role, name)]
                if role == "prior" and not fitting:
                    continue  # but one of the posterior's own family, which walk adds
                assert fitting, (choice, role)  # a legal pair is part of a whole
                choice[role] = max(fitting, key=partial(gain, left, choice, role))
        left.difference_update(pair(r, choice[r], s, choice[s]) for r, s in combinations(choice, 2))
        found.append(choice)

    return found


def gain(left: set[tuple[str, str, str, str]], choice: Choice, role: str, name: str) -> int:
    return sum(both in left for both in beside(choice, role, name))


def walk(choice: Choice) -> None:
    r"""Two steps of training and one evaluation."""
    torch.manual_seed(0)
    parts = {role: listed(PLURAL[role])[name] for role, name in choice.items()}
    parts = suited(parts)
    objective = parts.pop("objective")
    model, guide, x = compose(**parts)
    svi = SVI(model, guide, partial(torch.optim.Adam, lr=1e-3), objective(), compile="off")

    for _ in range(2):
        assert svi.step(x).isfinite(), choice
    if not scored(parts["posterior"]):
        return  # without a density there is no evidence
    assert log_evidence(model, guide, x, particles=3, compile="off").log_evidence.isfinite().all()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("part", range(8))
def test_pairwise_cover(part: int) -> None:
    r"""Every eighth combination, and with the slow ones all of them."""
    chosen = cover()[part::8]
    met = {(role, name) for choice in chosen for role, name in choice.items()}
    assert part or met >= {(role, name) for choice in cover() for role, name in choice.items()}
    for choice in chosen:
        walk(choice)


def test_refusals_are_sentences() -> None:
    for first, second in combinations(ROLES, 2):
        for a, b in product(names(first), names(second)):
            if why := reason(first, a, second, b):
                assert why.endswith(".") and len(why) < 400, why
                assert any(word in why for word in CURES), why


KIND_OF = {
    "Bernoulli": "bits",
    "Beta": "unit",
    "Binomial": "bits",
    "Categorical": "digits",
    "Clamped": "censored",
    "ContinuousBernoulli": "unit",
    "Dequantized": "refused",
    "Dirichlet": "simplex",
    "DiscretizedLogistic": "levels",
    "DiscretizedLogisticMixture": "refused",
    "Gamma": "positive",
    "LogisticNormal": "simplex",
    "LogNormal": "positive",
    "Multinomial": "refused",
    "NegativeBinomial": "counts",
    "OneHot": "one-hot",
    "Poisson": "counts",
    "PowerSpherical": "sphere",
    "RelaxedBernoulli": "unit",
    "RelaxedOneHot": "simplex",
    "Truncated": "positive",
    "VonMisesFisher": "sphere",
    "ZeroInflated": "counts",
}
r"""What families draw with default options, by hand; all others real vectors."""

WITHIN = {
    "Bernoulli": {"bits", "one-hot"},
    "Categorical": {"bits", "digits", "one-hot"},
    "OneHot": {"one-hot"},
    "SphericalUniform": {"sphere"},
    "Uniform": {"unit"},
}
r"""What lies in the support of a prior, by hand; of all others: real numbers, and parts of them."""

PARTS_OF_REAL = {"real", "positive", "unit"}
UNSCORED = {"Delta", "Implicit"}
r"""Families without a density."""

NO_MEAN = {"Flow", "Implicit", "LogisticNormal", "Planar", "RelaxedBernoulli", "Sylvester"}
r"""Families without a mean in closed form, which the kernels of Exemplar need."""


def test_prior_and_posterior_by_hand() -> None:
    r"""What is judged legal is what a table of supports, written by hand, says."""
    for prior, posterior in product(names("prior"), names("posterior")):
        kind = KIND_OF.get(posterior, "real")
        expected = kind in WITHIN.get(prior, PARTS_OF_REAL)
        if prior == "Vamp":  # a mixture of posteriors has the posterior's support, and density
            expected = kind != "refused" and posterior not in UNSCORED
        if prior == "Exemplar":
            expected = expected and posterior not in NO_MEAN
        judged = reason("prior", prior, "posterior", posterior)
        assert (not judged) == expected, (prior, posterior, judged)


@pytest.mark.slow
def test_no_other_objective_asks_anything_of_the_likelihood() -> None:
    for likelihood, objective in product(names("likelihood"), names("objective")):
        if objective not in ASKING:
            parts = {
                "likelihood": listed("families")[likelihood],
                "objective": listed("objectives")[objective],
            }
            assert verdict_of(**suited(parts)).legal, (likelihood, objective)


def test_the_readme_counts_the_cells() -> None:
    guides, objectives = names("guide"), names("objective")
    legal = [
        (p, q)
        for p, q in product(names("prior"), names("posterior"))
        if not reason("prior", p, "posterior", q)
    ]
    cells = {
        o: sum(
            fits({"prior": p, "posterior": q}, "guide", g)
            and fits({"prior": p, "posterior": q, "guide": g}, "objective", o)
            for (p, q), g in product(legal, guides)
        )
        for o in objectives
    }
    families = {
        o: sum(not reason("likelihood", f, "objective", o) for f in names("likelihood"))
        for o in objectives
    }
    pairs = len(names("prior")) * len(names("posterior"))
    whole = sum(cells[o] * families[o] for o in objectives)
    told = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())

    assert f"{len(legal)} of the {pairs} pairs of prior and posterior" in told
    assert f"{sum(cells.values())} combinations of prior, posterior, guide and objective" in told
    assert f"{whole} with one of {max(families.values())} likelihoods" in told


def test_an_objective_with_options_that_it_needs(capsys: pytest.CaptureFixture[str]) -> None:
    r"""It is listed by what its class tells, and of what goes with it nothing is told."""

    class Demanding(ELBO):
        r"""An objective that is told a number."""

        def __init__(self, number: float) -> None:
            super().__init__()
            self.number = number

    assert main(["list", "objectives", "--json"]) == 0
    (told,) = [e for e in json.loads(capsys.readouterr().out) if e["name"] == "Demanding"]
    assert told["bound"] == "lower" and told["reparameterized"] is False
    verdict = verdict_of(objective=Demanding)
    assert not verdict.legal and "options without a default" in verdict.reason


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {entry["kind"] for entry in told} == set(KINDS)
    assert all(entry["line"] for entry in told)
    assert all(
        entry["support"] and entry["reparameterized"] is not None
        for entry in told
        if entry["kind"] in ("priors", "families")
    )


def test_a_name_of_the_library_is_the_library_s() -> None:
    kept = listed("priors")["Vamp"]
    other = type("Vamp", (kept,), {"__module__": "somebody.elses"})

    assert listed("priors")["Vamp"] is kept is not other


def test_one_kind_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "priors"]) == 0
    told = capsys.readouterr().out
    assert "Vamp" in told and "Amortized" not in told
    assert main(["list", "prior"]) == 2
    assert "The catalogue has no 'prior'" in capsys.readouterr().err


def test_legal_cells_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "guides", "--legal", "--json"]) == 0
    cells = json.loads(capsys.readouterr().out)
    judged = {(*cell["first"], *cell["second"]): cell for cell in cells}
    cell = judged["guide", "BottomUp", "objective", "MeanFieldELBO"]

    assert not cell["legal"] and cell["reason"].endswith("Use ELBO.")
    assert judged["guide", "Ladder", "objective", "MeanFieldELBO"]["legal"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_every_prior_likelihood_and_posterior() -> None:
    r"""The whole product, under the ELBO and the amortized guide."""
    known = {"guide": "Amortized", "objective": "ELBO"}

    for prior, posterior in product(names("prior"), names("posterior")):
        # The ELBO asks for a density.
        known_density = scored(listed(PLURAL["posterior"])[posterior])
        if known_density and not reason("prior", prior, "posterior", posterior):
            for likelihood in names("likelihood"):
                walk({"prior": prior, "likelihood": likelihood, "posterior": posterior, **known})
