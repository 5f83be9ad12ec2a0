r"""Laws of priors."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from prior_cases import CASES, flow, posterior
from pyro.distributions.testing.gof import auto_goodness_of_fit, multinomial_goodness_of_fit
from scipy.integrate import quad
from torch import Tensor, nn

from ppl_vae import families
from ppl_vae.conditional import Conditional
from ppl_vae.distributions.spherical_uniform import SphericalUniform
from ppl_vae.families import Delta, Implicit, Laplace, Normal
from ppl_vae.guides import Amortized
from ppl_vae.models import VAE
from ppl_vae.networks import mlp
from ppl_vae.priors import (
    Autoregressive,
    Bernoulli,
    Categorical,
    Exemplar,
    FamilyPrior,
    Flow,
    GaussianMixture,
    LearnedNormal,
    OneHot,
    Prior,
    Shifted,
    StandardNormal,
    StudentT,
    Tempered,
    Uniform,
    Vamp,
)
from ppl_vae.priors import Laplace as LaplacePrior
from ppl_vae.priors.tempered import tempered
from ppl_vae.svi import SVI

ANY_SHAPE = {name: case for name, case in CASES.items() if case.shapes}
VECTORS = {name: case for name, case in CASES.items() if not case.shapes}

# A p-value below the limit is one random seed in 1000. For vectors, Pyro tests distances to the
# nearest neighbour; two points that are each other's nearest share theirs, which multiplies the
# test's chi^2 by 1.6, and makes 1e-8 out of 1e-3 (the smallest p-value of 300 fits of a standard
# normal to itself is 2e-7).
LIMIT = {False: 1e-3, True: 1e-8}

priors = pytest.mark.parametrize("name", CASES)


def large(name: str) -> Prior:
    r"""The prior over vectors of the larger size."""
    return CASES[name].make((CASES[name].sizes[1],))


def moved(prior: Prior) -> Prior:
    r"""The prior away from where it starts, as after some training."""
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter += 0.3 * torch.randn_like(parameter)

    return prior


# Laws of every prior


@priors
@pytest.mark.parametrize("batch", [(), (3,), (2, 3)])
def test_shapes(name: str, batch: tuple[int, ...]) -> None:
    prior, shape = large(name), (CASES[name].sizes[1],)
    p = prior()

    assert p.batch_shape == ()
    assert p.event_shape == prior.event_shape == shape
    assert p.sample(batch).shape == (*batch, *shape)
    assert p.log_prob(p.sample(batch)).shape == batch
    assert p.support.check(p.sample(batch)).all()
    assert p.expand(batch).batch_shape == batch
    assert p.expand(batch).sample().shape == (*batch, *shape)
    z = p.sample(batch)
    torch.testing.assert_close(p.expand(batch).log_prob(z.clone()), p.log_prob(z.clone()))


@pytest.mark.parametrize(
    "name, shape", [(name, shape) for name, case in CASES.items() for shape in case.shapes]
)
def test_event_shapes(name: str, shape: tuple[int, ...]) -> None:
    p = CASES[name].make(shape)()

    assert p.event_shape == shape
    assert p.log_prob(p.sample((4,))).shape == (4,)


@priors
@pytest.mark.parametrize("size", [0, 1])
def test_goodness_of_fit(name: str, size: int) -> None:
    r"""Draws follow the density; where values can be counted, the density sums to one."""
    case = CASES[name]
    d = case.sizes[size]
    prior = moved(case.make((d,)))

    with torch.no_grad():
        p = prior()
        z = p.sample((10000,))

        if case.cells is not None:
            cells = case.cells(d)
            probs = p.log_prob(cells.to(z.dtype)).exp()
            torch.testing.assert_close(probs.sum(), torch.ones(()), rtol=0, atol=1e-5)
            found = (z[:, None] == cells).all(-1).sum(0)
            assert multinomial_goodness_of_fit(probs, found) > LIMIT[False]
        else:
            # A clone, lest a flow only repeats what it remembers of the draw.
            probs = p.log_prob(z.clone()).exp()
            assert auto_goodness_of_fit(z, probs, dim=d + case.dim) > LIMIT[d > 1]


@pytest.mark.parametrize("family", [families.Planar, families.Sylvester, families.LowRankNormal])
def test_every_element_of_a_learned_member_moves(family: Callable[..., Any]) -> None:
    r"""At zero, parts of these have no gradient: they would stay normal and independent."""
    prior = FamilyPrior((3,), family, learned=True)
    prior().log_prob(torch.randn(50, 3)).sum().backward()

    assert prior.h.grad is not None and (prior.h.grad != 0).all()


def test_components_of_a_learned_mixture_part() -> None:
    prior = FamilyPrior((2,), partial(families.Mixture, components=2), learned=True)
    optimizer = torch.optim.Adam(prior.parameters(), lr=0.1)
    z = torch.cat([torch.randn(100, 2) / 4 + shift for shift in (-2.0, 2.0)])

    for _ in range(100):
        optimizer.zero_grad()
        (-prior().log_prob(z).mean()).backward()
        optimizer.step()

    means = prior().component_distribution.mean.detach()
    assert torch.dist(*means) > 2


@priors
@pytest.mark.parametrize("way", ["log_prob", "rsample"])
def test_gradients(name: str, way: str) -> None:
    prior = large(name)
    p = prior()

    if not list(prior.parameters()) or (way == "rsample" and not p.has_rsample):
        return

    if way == "log_prob":
        # Not its own draws: at these, the gradients of a density may cancel.
        z = torch.randn(8, *p.event_shape) if CASES[name].cells is None else p.sample((8,))
        p.log_prob(z).sum().backward()
    else:
        (p.rsample((8,)) ** 3).sum().backward()

    for key, parameter in prior.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), key
        assert parameter.grad.any(), key


@priors
def test_float64(name: str) -> None:
    prior = large(name).double()
    p = prior()
    z = p.sample()
    log_prob = p.log_prob(z.clone())

    assert log_prob.dtype == torch.float64
    assert z.dtype in (torch.float64, torch.int64)

    single = prior.float()().log_prob(z.float() if z.is_floating_point() else z)
    torch.testing.assert_close(log_prob, single.double(), rtol=1e-4, atol=1e-4)


@priors
def test_device(name: str) -> None:
    r"""Draws and densities are where the module is: here on a device that holds no numbers."""
    prior = large(name).to("meta")

    with pyro.validation_enabled(False):
        p = prior()
        z = p.sample((3,))
        assert z.device.type == p.log_prob(z.clone()).device.type == "meta"


@priors
def test_state(name: str) -> None:
    prior, other = moved(large(name)), large(name)
    other.load_state_dict(prior.state_dict())
    z = prior().sample((8,))

    assert torch.equal(prior().log_prob(z.clone()), other().log_prob(z.clone()))


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.attached])
def test_attach_does_nothing(name: str) -> None:
    prior = large(name)
    before = {key: value.clone() for key, value in prior.state_dict().items()}

    assert prior.attach(posterior=posterior(Normal((2,))), data=torch.rand(20, 5)) is prior
    assert prior.attach() is prior
    assert before.keys() == prior.state_dict().keys()
    assert all(torch.equal(before[key], value) for key, value in prior.state_dict().items())


@priors
def test_training(name: str) -> None:
    r"""A model with the prior is captured as one graph, which takes the steps of the programs."""
    case = CASES[name]
    d = case.sizes[1]
    x = torch.randn(16, 5)
    losses = {}

    for way in ("off", "fx"):
        torch.manual_seed(0)
        prior = case.make((d,))
        q = getattr(prior, "posterior", None) or posterior(case.posterior(torch.Size([d])))
        model = VAE(prior, Conditional((d,), Normal((5,)), mlp([8])))
        svi = SVI(model, Amortized(q), partial(torch.optim.Adam, lr=1e-3), compile=way)
        svi.plan(1000, None, x)
        torch.manual_seed(1)
        losses[way] = [float(svi.step(x)) for _ in range(3)]
        assert svi.backend == way and svi.reason is None

    assert losses["off"] == losses["fx"]
    assert all(math.isfinite(loss) for loss in losses["fx"])


# Laws of one prior


def test_family_prior_at_zero_is_standard_normal() -> None:
    z = torch.randn(100, 2)
    standard = StandardNormal((2,))().log_prob(z)

    # The scale at h = 0 is 1 - 3.3e-7, hence an error of 3.3e-7 * (1 + z^2) per element.
    torch.testing.assert_close(FamilyPrior((2,))().log_prob(z), standard, rtol=0, atol=1e-5)
    torch.testing.assert_close(LearnedNormal((2,))().log_prob(z), standard, rtol=0, atol=1e-5)


def calls(prior: Prior, work: Callable[[], object]) -> int:
    r"""How often the layers of a prior run in some work."""
    count = 0

    def hook(*_: object) -> None:
        nonlocal count
        count += 1

    handles = [m.register_forward_hook(hook) for m in prior.modules() if isinstance(m, nn.Linear)]
    work()

    for handle in handles:
        handle.remove()

    return count


def test_flow_prior_is_fast_to_score() -> None:
    prior, z = Flow((5,), kind="MAF", hidden=(16,)), torch.randn(8, 5)
    p = prior()

    # One pass of each network scores z; at least one for each element draws it.
    assert calls(prior, p.sample) >= 5 * calls(prior, lambda: p.log_prob(z)) > 0


def test_flow_posterior_is_fast_to_draw() -> None:
    prior = FamilyPrior((5,), partial(families.Flow, kind="MAF", hidden=(16,)))
    p = prior()
    draw = calls(prior, lambda: p.log_prob(p.rsample()))

    assert calls(prior, lambda: p.log_prob(torch.randn(8, 5))) >= 5 * draw > 0


@pytest.mark.parametrize("value", [1e6, -1e6])
@pytest.mark.parametrize("cls", [GaussianMixture, LearnedNormal])
def test_scales_keep_their_bounds(cls: Callable[..., Prior], value: float) -> None:
    prior = cls((2,), floor=0.1, ceiling=2.0)

    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.fill_(0)
        prior.rho.fill_(value)

    # Every element has the bound as its scale, exactly up to the rounding of one addition.
    p, bound = prior(), torch.full((2,), 2.0 if value > 0 else 0.1)
    torch.testing.assert_close(p.variance.sqrt(), bound, rtol=1e-6, atol=0)
    p.log_prob(torch.ones(2)).backward()
    assert all(v.grad is not None and v.grad.isfinite().all() for v in prior.parameters())


@pytest.mark.parametrize("make", [Normal, Laplace, flow])
def test_vamp_is_the_mixture_of_posteriors(make: Callable[..., families.Family]) -> None:
    q = posterior(make((2,)))
    prior = Vamp((2,), components=3).attach(q, torch.rand(20, 5))
    z = torch.randn(8, 2)
    each = torch.stack([q(u).log_prob(z) for u in prior.inputs])

    torch.testing.assert_close(prior().log_prob(z), each.logsumexp(0) - torch.tensor(3.0).log())


@pytest.mark.parametrize("components", [1, 7, 20, 50])
@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_vamp_starts_at_rows(components: int, dtype: torch.dtype) -> None:
    data = torch.randint(0, 17, (20, 5)).to(dtype)
    prior = Vamp((2,), components)

    assert prior.attach(posterior(Normal((2,))), data) is prior
    rows = (prior.inputs[:, None] == data).all(-1)
    assert prior.inputs.shape == (components, 5)
    assert rows.any(-1).all()
    # No row comes twice before every row came once.
    assert rows.any(0).sum() == min(components, 20)


@pytest.mark.parametrize("value", [-50.0, 50.0])
def test_vamp_stays_in_range(value: float) -> None:
    q, data = posterior(Normal((2,))), torch.rand(20, 5) * 3 + 1
    prior = Vamp((2,), components=1).attach(q, data)
    z = torch.randn(8, 2)

    with torch.no_grad():
        prior.inputs.fill_(value)

    bound = data.min() if value < 0 else data.max()
    torch.testing.assert_close(prior().log_prob(z), q(bound.expand(5)).log_prob(z))


def test_vamp_has_gradients_at_the_bounds() -> None:
    # Binary pixels lie on the bounds from the start.
    prior = Vamp((2,), 3).attach(posterior(Normal((2,))), torch.rand(20, 5).round())
    prior().log_prob(torch.randn(8, 2)).sum().backward()

    assert (prior.inputs.grad != 0).all()


def test_vamp_moves_pseudo_inputs_on_the_bounds() -> None:
    prior = Vamp((2,), components=4).attach(posterior(Normal((2,))), torch.rand(10, 5).round())
    assert isinstance(prior, Vamp)
    prior.inputs.data += torch.randn(4, 5)  # some lie outside of [0, 1] now

    prior().log_prob(torch.randn(5, 2)).sum().backward()
    assert (prior.inputs.grad != 0).all()


def test_exemplar_is_the_mixture_around_codes(float64: None) -> None:
    q, data = posterior(Normal((2,))), torch.rand(20, 5)
    prior = Exemplar((2,), exemplars=7).attach(q, data)
    assert isinstance(prior, Exemplar)
    z = torch.randn(8, 2)
    each = torch.stack([dist.Normal(q(x).mean, 1.0).log_prob(z).sum(-1) for x in prior.rows])

    assert (prior.rows[:, None] == data).all(-1).any(-1).all()
    # A bounded scale is short of one by 3e-7 at the start.
    found = prior().log_prob(z)
    torch.testing.assert_close(found, each.logsumexp(0) - math.log(7), rtol=1e-5, atol=0)


def test_exemplar_repeats_few_rows() -> None:
    prior = Exemplar((2,), exemplars=7).attach(posterior(Normal((2,))), torch.rand(3, 5))
    assert isinstance(prior, Exemplar)

    # No row comes twice more often than another.
    assert sorted(int(n) for n in prior.rows.unique(dim=0, return_counts=True)[1]) == [2, 2, 3]


def test_full_mixture_has_covariances(float64: None) -> None:
    prior = moved(GaussianMixture((3,), components=4, covariance="full"))
    assert isinstance(prior, GaussianMixture)
    z = torch.randn(8, 3)
    below = torch.zeros(4, 3, 3)
    i, j = torch.tril_indices(3, 3, -1)
    below[:, i, j] = prior.below.detach()
    tril = below + torch.diag_embed(families.scale.bounded(prior.rho, 1e-3, 1e3))
    each = dist.MultivariateNormal(prior.loc, tril @ tril.mT).log_prob(z[:, None])
    exact = (each + prior.logits.log_softmax(0)).logsumexp(-1)

    torch.testing.assert_close(prior().log_prob(z), exact)


def test_autoregressive_looks_back_only(float64: None) -> None:
    prior = moved(Autoregressive((5,), components=2, hidden=(32, 32)))
    assert isinstance(prior, Autoregressive)
    z = torch.randn(5)
    jacobian = torch.autograd.functional.jacobian(lambda z: prior._conditionals(z).mean, z)

    assert (jacobian.triu() == 0).all()
    assert (jacobian.tril(-1) != 0).sum() == 10


def test_autoregressive_is_a_product_of_conditionals(float64: None) -> None:
    r"""Marginalized over the second element, it is the first one's law, a density."""
    p = moved(Autoregressive((2,), components=3, hidden=(16,))).requires_grad_(False)()
    at = torch.tensor([-1.0, 0.3, 2.0])

    def joint(b: float, a: float) -> float:
        return float(p.log_prob(torch.tensor([a, b])).exp())

    found = [quad(joint, -30, 30, args=(float(a),), epsabs=1e-9)[0] for a in at]
    first = p.conditionals(torch.zeros(2)).log_prob(at.unsqueeze(-1))[:, 0].exp()

    assert found == pytest.approx(first.tolist(), rel=1e-6)


def test_autoregressive_scores_in_one_pass() -> None:
    prior, z = Autoregressive((5,), hidden=(16,)), torch.randn(8, 5)
    p = prior()

    assert calls(prior, p.sample) == 5 * calls(prior, lambda: p.log_prob(z)) == 10


def test_fixed_priors_are_exact(float64: None) -> None:
    z = torch.randn(8, 2)

    for prior, exact in [
        (LaplacePrior((2,)), torch.distributions.Laplace(0.0, 1.0)),
        (StudentT((2,), df=3.7), torch.distributions.StudentT(3.7)),
        (StandardNormal((2,)), torch.distributions.Normal(0.0, 1.0)),
    ]:
        found = prior.double()().log_prob(z)
        torch.testing.assert_close(found, exact.log_prob(z).sum(-1), rtol=1e-14, atol=0)


@pytest.mark.parametrize("learned", [False, True])
def test_shifted_normal_is_normal(float64: None, learned: bool) -> None:
    prior, z = Shifted((2,), shift=3.0, scale=0.5, learned=learned), torch.randn(8, 2)
    exact = torch.distributions.Normal(3.0, 0.5).log_prob(z).sum(-1)

    torch.testing.assert_close(prior().log_prob(z), exact)
    assert len(list(prior.parameters())) == (2 if learned else 0)


def positive(*shape: int) -> Tensor:
    return 1.5 + torch.rand(*shape)


# What `tempered` knows, with parameters of which all powers below have an integral.
TEMPERED: dict[str, Callable[[], dist.TorchDistribution]] = {
    "Bernoulli": lambda: dist.Bernoulli(logits=torch.randn(2)).to_event(1),
    "Beta": lambda: dist.Beta(positive(2), positive(2)).to_event(1),
    "Categorical": lambda: dist.Categorical(logits=torch.randn(2, 3)).to_event(1),
    "Dirichlet": lambda: dist.Dirichlet(positive(3)),
    "Gamma": lambda: dist.Gamma(positive(2), positive(2)).to_event(1),
    "Laplace": lambda: dist.Laplace(torch.randn(2), positive(2)).to_event(1),
    "LowRankMultivariateNormal": lambda: dist.LowRankMultivariateNormal(
        torch.randn(3), torch.randn(3, 1), positive(3)
    ),
    "MultivariateNormal": lambda: dist.MultivariateNormal(
        torch.randn(2), scale_tril=torch.tensor([[1.0, 0.0], [0.5, 2.0]])
    ),
    "Normal": lambda: dist.Normal(torch.randn(2), positive(2)).to_event(1),
    "OneHotCategorical": lambda: dist.OneHotCategorical(logits=torch.randn(2, 3)).to_event(1),
    "SphericalUniform": lambda: SphericalUniform(3),
    "StudentT": lambda: dist.StudentT(positive(2), torch.randn(2), positive(2)).to_event(1),
    "Uniform": lambda: dist.Uniform(-positive(2), positive(2)).to_event(1),
    "VonMisesFisher": lambda: families.VonMisesFisher((3,))(torch.randn(4)),
}


@pytest.mark.parametrize("name", TEMPERED)
@pytest.mark.parametrize("temperature", [0.7, 1.0, 2.0])
def test_tempered_is_proportional_to_the_power(
    float64: None, name: str, temperature: float
) -> None:
    p = TEMPERED[name]()
    q = tempered(p, temperature)
    z = p.sample((50,))
    excess = q.log_prob(z) - p.log_prob(z) / temperature

    assert q.event_shape == p.event_shape and q.support.check(q.sample((50,))).all()
    torch.testing.assert_close(excess, excess[0].expand(50), rtol=0, atol=1e-10)


def test_tempered_is_open() -> None:
    class Mine(dist.Normal):
        pass

    @tempered.register(Mine)
    def _(p: Mine, temperature: float) -> dist.TorchDistribution:
        return dist.Normal(p.loc, 7.0)

    assert tempered(Mine(0.0, 1.0), 4.0).scale == 7
    assert tempered(dist.Normal(0.0, 1.0), 4.0).scale == 2


def test_wrapped_priors_are_attached() -> None:
    q, data = posterior(Normal((2,))), torch.rand(20, 5)
    prior = Shifted((2,), partial(Vamp, components=3), scale=2.0)

    assert prior.attach(q, data) is prior
    assert prior().log_prob(torch.zeros(2)).isfinite()


def normalizing() -> Conditional:
    return Conditional(
        (5,), Normal((2,)), lambda i, o: nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4))
    )


@pytest.mark.parametrize(
    "make, sentence",
    [
        *((lambda f=c.make: f((0,)), "needs positive sizes") for c in CASES.values()),
        *((lambda f=c.make: f((2, -1)), "needs positive sizes") for c in ANY_SHAPE.values()),
        *((lambda f=c.make: f((2, 3)), "is over vectors.*such as") for c in VECTORS.values()),
        (lambda: Autoregressive((2,), components=0), "one component or more"),
        (lambda: Autoregressive((2,), hidden=(0,)), "positive widths"),
        (lambda: Autoregressive((2,), floor=0.0), "0 < floor < 1 < ceiling"),
        (lambda: Categorical((2,), categories=1), "two categories or more, got 1"),
        (lambda: OneHot(()), r"two categories or more.*got \(\)"),
        (lambda: OneHot((3, 1)), r"two categories or more.*got \(3, 1\)"),
        (lambda: FamilyPrior(Laplace((2,))), r"such as FamilyPrior\(\(8,\), Laplace\)"),
        (lambda: FamilyPrior((2,), Laplace((2,))), "it builds the family itself"),
        (lambda: GaussianMixture((2,), components=0), "one component or more, got 0"),
        (lambda: GaussianMixture((2,), floor=0.0), "0 < floor < 1 < ceiling"),
        (lambda: GaussianMixture((2,), spread=-1.0), "spread"),
        (lambda: GaussianMixture((2,), covariance="fuller"), "'diagonal' or 'full', got 'fuller'"),
        (lambda: LearnedNormal((2,), ceiling=0.5), "0 < floor < 1 < ceiling"),
        (lambda: LaplacePrior((2,), floor=2.0), "0 < floor < 1 < ceiling"),
        (lambda: StudentT((2,), df=0.0), "df of StudentT must be positive"),
        (lambda: Uniform((2,), low=1.0), "low below high, got low=1.0 and high=1.0"),
        (lambda: Flow((2,), kind="MAP"), "Flow has no kind 'MAP'; take one of MAF"),
        (lambda: Flow((2,), kind="IAF"), "scores slowly.*take kind='MAF'"),
        (lambda: Flow((2,), transforms=0), "transforms"),
        (lambda: Flow((2,), hidden=(0,)), "hidden"),
        (lambda: Shifted((2,), scale=0.0), "positive, finite scale"),
        (lambda: Shifted((2,), shift=math.nan), "finite shift"),
        (lambda: Shifted((2,), scale=1e4, learned=True), "move the bounds or the scale"),
        (lambda: Shifted((2,), Bernoulli)(), "needs a prior over real numbers"),
        (lambda: Shifted((2,), Uniform)(), "needs a prior over real numbers"),
        (lambda: Tempered((2,), temperature=0.0), "temperature of Tempered must be positive"),
        (lambda: Tempered((2,), GaussianMixture)(), "MixtureSameFamily has no closed form"),
        (lambda: Tempered((2,), Flow)(), "FlowDistribution has no closed form"),
        *((lambda f=f: f((2,), 0), "or more, got 0") for f in (Vamp, Exemplar)),
        (lambda: Exemplar((2,), floor=0.0), "0 < floor < 1 < ceiling"),
        (
            lambda: Exemplar((2,)).attach(posterior(flow((2,))), torch.rand(20, 5)),
            "Flow has none in closed form; take a posterior such as Normal",
        ),
        *(
            (
                lambda f=f: Vamp((2,)).attach(posterior(f((2,))), torch.rand(20, 5)),
                f"Vamp mixes densities of the posterior, and {f.__name__} has none; take a pos",
            )
            for f in (Delta, Implicit)
        ),
        *((lambda f=f: f((2,))(), r"call prior.attach\(") for f in (Vamp, Exemplar)),
        *(
            (lambda f=f, a=a: f((2,)).attach(*a()), sentence)
            for f in (Vamp, Exemplar)
            for a, sentence in [
                (lambda: (), "needs the posterior and rows of data"),
                (lambda: (posterior(Normal((2,))),), "needs the posterior and rows"),
                (
                    lambda: (posterior(Normal((3,))), torch.rand(20, 5)),
                    r"over \(2,\), but the posterior is over \(3,\); give both the same shape",
                ),
                (
                    lambda: (posterior(Normal((2,))), torch.rand(20, 4)),
                    r"rows of shape \(5,\), got \(20, 4\)",
                ),
                (lambda: (posterior(Normal((2,))), torch.rand(0, 5)), "rows of data"),
                (lambda: (posterior(Normal((2,))), torch.full((20, 5), math.nan)), "missing"),
                (lambda: (normalizing(), torch.rand(20, 5)), "without BatchNorm"),
                (
                    lambda: (
                        posterior(Normal((2,))).replace(torch.zeros(20, 2, 2)),
                        torch.rand(20, 5),
                    ),
                    "belong to given data",
                ),
            ]
        ),
    ],
)
def test_refusals(make: Callable[[], object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make()


def test_a_power_without_integral_is_refused() -> None:
    with pytest.raises(ValueError, match=r"StudentT to the power 1/10 has no finite integral"):
        Tempered((2,), StudentT, temperature=10.0)
