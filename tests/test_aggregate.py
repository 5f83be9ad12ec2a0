r"""Laws of objectives on the aggregate posterior."""

import math
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from program_cases import PROGRAMS
from torch import Tensor

from ppl_vae.objectives import DIP, ELBO, WAE, BetaTC, InfoVAE, Objective
from ppl_vae.objectives.aggregate import KERNELS, densities_of_aggregate, mmd
from ppl_vae.weights import log_weights


def loss_of(objective: Objective, model: Any, guide: Any, x: Tensor) -> float:
    torch.manual_seed(1)
    return float(objective.loss(model, guide, x)) / len(x)


@pytest.mark.parametrize("K", [1, 3])
def test_density_of_all_data(float64: None, K: int) -> None:
    r"""Where the batch is all data, the mixture is exact: summed out by a loop."""
    n, d = 6, 2
    loc, scale = torch.randn(n, d), torch.rand(n, d) + 0.3
    z = loc + scale * torch.randn(K, n, d)
    whole, parts = densities_of_aggregate(dist.Normal(loc, scale), z, total=n)

    for k in range(K):
        for i in range(n):
            each = [dist.Normal(loc[j], scale[j]).log_prob(z[k, i]).exp() for j in range(n)]
            assert float(whole[k, i]) == pytest.approx(math.log(sum(p.prod() for p in each) / n))
            assert float(parts[k, i]) == pytest.approx(float((sum(each) / n).log().sum()))


def test_density_of_a_batch_is_unbiased(float64: None) -> None:
    r"""The mean over batches with one datum in each; fails once in 15000, at seed 0."""
    N, n, runs = 40, 5, 20_000
    loc = torch.randn(N, 1)
    z = loc[0] + 0.1
    exact = dist.Normal(loc, 0.7).log_prob(z).exp().mean()
    others = torch.stack([1 + torch.randperm(N - 1)[: n - 1] for _ in range(runs)])
    rows = torch.cat([torch.zeros(runs, 1, dtype=torch.long), others], 1)
    # As many particles as batches, each with its own data: the first draw of each is z.
    law = dist.Normal(loc[rows], 0.7)
    found = densities_of_aggregate(law, z.expand(runs, n, 1), N)[0][:, 0].exp()
    error = found.std() / runs**0.5

    assert float((found.mean() - exact).abs() / error) < 4 and found.std() > 0.05 * exact


@pytest.mark.parametrize("K", [1, 3])
def test_the_three_terms_add_up(float64: None, K: int) -> None:
    r"""With all weights at one it is the ELBO, of the same draws, however large the data are."""
    model, guide, x = PROGRAMS["normal, bernoulli"]()
    objective = BetaTC(1.0, particles=K)
    objective.total = 1000
    elbo = loss_of(ELBO(K), model, guide, x)
    assert loss_of(objective, model, guide, x) == pytest.approx(elbo, rel=1e-10)


def test_total_correlation_by_hand(float64: None) -> None:
    model, guide, x = PROGRAMS["normal, bernoulli"]()
    torch.manual_seed(1)
    with torch.no_grad():
        w = log_weights(model, guide, x)
    law = w.sites["z"].q.base_dist
    whole, parts = densities_of_aggregate(law, w.sites["z"].value, total=50)
    objective = BetaTC(5.0, 2.0, 3.0)
    objective.total = 50
    expected = -w.likelihood + (2 * (w.guide - whole) + 5 * (whole - parts) + 3 * (parts - w.prior))
    assert loss_of(objective, model, guide, x) == pytest.approx(float(expected.mean()), rel=1e-10)


def correlated(rho: float) -> tuple[Any, Any, Tensor]:
    r"""A guide whose means correlate over the data, and whose variances are small."""
    torch.manual_seed(0)
    x = torch.randn(400, 2)
    x[:, 1] = rho * x[:, 0] + (1 - rho**2) ** 0.5 * x[:, 1]

    def model(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(z, 1.0).to_event(1), obs=x)

    def guide(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Normal(x, 0.3).to_event(1))

    return model, guide, x


def test_total_correlation_is_known_of_normal_laws(float64: None) -> None:
    r"""-log(1 - r^2) / 2 for the correlation r of the aggregate; none without correlation."""
    found = {}
    for rho in (0.0, 0.9):
        programs = correlated(rho)
        high, low = (loss_of(BetaTC(b), *programs) for b in (2.0, 1.0))
        found[rho] = high - low
    r = 0.9 / 1.09
    assert found[0.9] - found[0.0] == pytest.approx(-math.log(1 - r**2) / 2, abs=0.1)


@pytest.mark.parametrize("kind", [1, 2])
def test_dip_by_hand(float64: None, kind: int) -> None:
    model, guide, x = correlated(0.6)
    torch.manual_seed(1)
    w = log_weights(model, guide, x)
    C = torch.cov(x.mT, correction=0) + (kind == 2) * 0.09 * torch.eye(2)
    off = 2 * C[0, 1] ** 2
    diagonal = (C.diagonal() - 1).square().sum()
    expected = -w.likelihood.mean() + w.sites["z"].kl().mean() + 7 * off + 3 * diagonal
    found = loss_of(DIP(kind, 7.0, 3.0), model, guide, x)
    assert found == pytest.approx(float(expected), rel=1e-10)


# Discrepancies.


@pytest.mark.parametrize("kernel", KERNELS)
def test_mmd_by_hand(float64: None, kernel: str) -> None:
    x, y = torch.randn(5, 2), torch.randn(5, 2)

    def k(a: Tensor, b: Tensor) -> float:
        s, c = float((a - b).square().sum()), 4 * 1.3**2
        if kernel == "rbf":
            return math.exp(-s / c)
        return sum(t * c / (t * c + s) for t in (0.1, 0.2, 0.5, 1, 2, 5, 10))

    pairs = [(i, j) for i in range(5) for j in range(5)]
    within = sum(k(x[i], x[j]) + k(y[i], y[j]) for i, j in pairs if i != j) / 20
    expected = within - 2 * sum(k(x[i], y[j]) for i, j in pairs) / 25
    assert float(mmd(x, y, kernel, 1.3)) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("kernel", KERNELS)
def test_mmd_is_unbiased(float64: None, kernel: str) -> None:
    r"""Zero in the mean for one law, above zero for two; fails once in 15000, at seed 0."""
    same = torch.stack([mmd(torch.randn(20, 3), torch.randn(20, 3), kernel) for _ in range(400)])
    far = torch.stack([mmd(torch.randn(20, 3), torch.randn(20, 3) + 1, kernel) for _ in range(50)])
    assert float(same.mean().abs() / (same.std() / 20)) < 4
    assert float(far.mean() / (far.std() / 50**0.5)) > 10


def test_info_vae_by_hand(float64: None) -> None:
    r"""With a weight that cancels the discrepancy it is the ELBO's terms alone."""
    model, guide, x = PROGRAMS["normal, bernoulli"]()
    torch.manual_seed(1)
    w = log_weights(model, guide, x)
    rec, kl = (float(t.detach().mean()) for t in (w.likelihood, w.sites["z"].kl()))
    assert loss_of(InfoVAE(0.3, 0.7), model, guide, x) == pytest.approx(0.7 * kl - rec)
    assert loss_of(WAE(0.0), model, guide, x) == pytest.approx(-rec)
    steps = [loss_of(WAE(weight), model, guide, x) for weight in (0.0, 10.0, 20.0)]
    assert steps[2] - steps[1] == pytest.approx(steps[1] - steps[0]) and steps[1] != steps[0]


@pytest.mark.slow
def test_a_discrepancy_pulls_the_aggregate_to_the_prior(float64: None) -> None:
    r"""Not each posterior: their means may spread, while the ELBO would shrink them."""
    shift = torch.tensor([2.0], requires_grad=True)

    def model(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Normal(torch.zeros(1), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(torch.zeros(len(x)), 1.0), obs=x)

    def guide(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Normal(x[:, None] + shift, 0.1).to_event(1))

    x = torch.randn(300)
    optimizer = torch.optim.Adam([shift], lr=0.05)
    for _ in range(200):
        loss = WAE(10.0).differentiable_loss(model, guide, x)
        (shift.grad,) = torch.autograd.grad(loss / 300, shift)
        optimizer.step()
    assert abs(float(shift.detach() + x.mean())) < 0.15


@pytest.mark.parametrize(
    "objective", [BetaTC(), DIP(), InfoVAE(), WAE()], ids=lambda o: type(o).__name__
)
def test_gradients_reach_the_guide(objective: Objective) -> None:
    model, guide, x = PROGRAMS["normal, bernoulli"]()
    loss = objective.differentiable_loss(model, guide, x)
    assert all(g.abs().sum() > 0 for g in torch.autograd.grad(loss, list(guide.parameters())))


@pytest.mark.parametrize("objective", [BetaTC(), DIP()], ids=lambda o: type(o).__name__)
def test_elements_have_to_be_independent(objective: Objective) -> None:
    model, guide, x = PROGRAMS["linear"]()
    with pytest.raises(ValueError, match=r"whose elements are independent.*site 'z' is Multiv"):
        objective.loss(model, guide, x)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: BetaTC(-1.0), "weights of BetaTC must not be negative"),
        (lambda: DIP(3), "DIP is of kind 1 or 2"),
        (lambda: InfoVAE(kernel="linear"), "one of imq, rbf"),
        (lambda: InfoVAE(0.2, 0.5), "must not be negative, got -0.3"),
        (lambda: WAE(-1.0), "weight of WAE must not be negative"),
        (lambda: WAE(width=0.0), "of positive width"),
    ],
)
def test_refused(make: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.slow
def test_particles_are_samples_of_their_own(float64: None) -> None:
    r"""Draws of one datum are alike: counted as independent, a fitting aggregate would look bad.

    The aggregate is the prior here; the mean is zero within 4 standard errors, at seed 0.
    """

    def model(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Normal(torch.zeros(1), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(0.0, 1.0), obs=x)

    def guide(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Normal(0.99**0.5 * x[:, None], 0.1).to_event(1))

    for vectorized in (True, False):
        objective = WAE(1.0, particles=5, vectorized=vectorized)
        found = []
        for _ in range(300):
            weights = objective.weights(model, guide, torch.randn(20))
            found.append(objective.discrepancy_of(weights) / 20)
        values = torch.stack(found)
        assert float(values.mean().abs() / (values.std() / 300**0.5)) < 4


def test_one_datum_tells_nothing_of_an_aggregate(float64: None) -> None:
    model, guide, x = PROGRAMS["normal, bernoulli"]()
    assert float(mmd(torch.randn(1, 3), torch.randn(1, 3))) == 0
    elbo = loss_of(ELBO(), model, guide, x[:1])
    assert loss_of(WAE(0.0), model, guide, x[:1]) == loss_of(WAE(50.0), model, guide, x[:1])
    objective = BetaTC(1.0)
    objective.total = 10
    assert loss_of(objective, model, guide, x[:1]) == pytest.approx(elbo)


def test_a_learned_prior_follows_the_discrepancy() -> None:
    loc = torch.zeros(1, requires_grad=True)

    def model(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Normal(loc, 1.0).to_event(1))
            pyro.sample("x", dist.Normal(0.0, 1.0), obs=x)

    def guide(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Normal(x[:, None] + 2, 0.1).to_event(1))

    loss = WAE().differentiable_loss(model, guide, torch.randn(100))
    (g,) = torch.autograd.grad(loss, loc)
    assert g < 0  # towards the posteriors


@pytest.mark.parametrize(
    "objective", [BetaTC(), DIP(), InfoVAE(), WAE()], ids=lambda o: type(o).__name__
)
def test_masked_data_are_refused(objective: Objective) -> None:
    seen = torch.tensor([True, False, True])

    def model(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1), pyro.poutine.mask(mask=seen):
            pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(0.0, 1.0), obs=x)

    def guide(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1), pyro.poutine.mask(mask=seen):
            pyro.sample("z", dist.Normal(x[:, None].expand(3, 2), 1.0).to_event(1))

    with pytest.raises(ValueError, match=r"site 'z' is masked, or lies in a plate within"):
        objective.loss(model, guide, torch.randn(3))


@pytest.mark.slow
@pytest.mark.parametrize("objective", [BetaTC, DIP], ids=lambda o: o.__name__)
def test_looped_particles_have_laws_of_their_own(float64: None, objective: Any) -> None:
    r"""The mean is that of particles drawn at once, within 4 standard errors, at seed 0."""
    a = torch.tensor([[0.8, -0.5], [0.3, 0.9]])

    def model(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            u = pyro.sample("u", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            z = pyro.sample("z", dist.Normal(u, 1.0).to_event(1))
            pyro.sample("x", dist.Normal(z, 1.0).to_event(1), obs=x)

    def guide(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(x, 0.5).to_event(1))
            pyro.sample("u", dist.Normal(z @ a, 0.7).to_event(1))

    x = torch.randn(6, 2)
    means, errors = [], []

    for vectorized in (True, False):
        o = objective(particles=8, vectorized=vectorized)
        values = torch.stack([o.loss(model, guide, x) for _ in range(100)])
        means.append(values.mean())
        errors.append(values.std() / 10)
    assert float((means[0] - means[1]).abs()) < 4 * float(errors[0] + errors[1])
