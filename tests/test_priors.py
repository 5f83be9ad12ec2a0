r"""Laws of priors."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from pyro.distributions.testing.gof import auto_goodness_of_fit
from torch import nn

from ppl_vae import families
from ppl_vae.conditional import Conditional
from ppl_vae.families import Laplace, Normal
from ppl_vae.networks import mlp
from ppl_vae.priors import (
    FamilyPrior,
    Flow,
    GaussianMixture,
    LearnedNormal,
    Prior,
    StandardNormal,
    Vamp,
)

Constructor = Callable[[Sequence[int]], Prior]


def posterior(family: families.Family) -> Conditional:
    return Conditional((5,), family, mlp(hidden=[8]))


def flow(shape: Sequence[int]) -> families.Flow:
    return families.Flow(shape, hidden=(16,), context=3)


# A new prior is one more line, here or below.
ANY_SHAPE: dict[str, Constructor] = {
    "FamilyPrior Laplace": lambda shape: FamilyPrior(Laplace(shape), learned=True),
    "FamilyPrior Normal": lambda shape: FamilyPrior(Normal(shape)),
    "FamilyPrior shared": lambda shape: FamilyPrior(Normal(shape, scale="shared"), learned=True),
    "GaussianMixture": lambda shape: GaussianMixture(shape, components=3),
    "LearnedNormal": LearnedNormal,
    "StandardNormal": StandardNormal,
    "Vamp": lambda shape: Vamp(shape, 3).attach(posterior(Normal(shape)), torch.rand(20, 5)),
}
VECTORS: dict[str, Constructor] = {
    "FamilyPrior Flow": lambda shape: FamilyPrior(flow(shape), learned=True),
    "Flow MAF": lambda shape: Flow(shape, kind="MAF", hidden=(16,)),
    "Flow NICE": lambda shape: Flow(shape, kind="NICE", hidden=(16,)),
    "Flow NSF": lambda shape: Flow(shape, kind="NSF", hidden=(16,)),
    "Vamp of flows": lambda shape: Vamp(shape, 3).attach(posterior(flow(shape)), torch.rand(20, 5)),
}
PRIORS = {**ANY_SHAPE, **VECTORS}

# A p-value below the limit is one random seed in 1000. For vectors, Pyro tests distances to the
# nearest neighbour; two points that are each other's nearest share theirs, which multiplies the
# test's chi^2 by 1.6, and makes 1e-8 out of 1e-3 (the smallest p-value of 300 fits of a standard
# normal to itself is 2e-7).
LIMIT = {1: 1e-3, 2: 1e-8}

priors = pytest.mark.parametrize("name", PRIORS)


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
    prior = PRIORS[name]((2,))
    p = prior()

    assert p.batch_shape == ()
    assert p.event_shape == prior.event_shape == (2,)
    assert p.sample(batch).shape == (*batch, 2)
    assert p.log_prob(p.sample(batch)).shape == batch
    assert p.expand(batch).batch_shape == batch
    assert p.expand(batch).sample().shape == (*batch, 2)
    z = p.sample(batch)
    torch.testing.assert_close(p.expand(batch).log_prob(z.clone()), p.log_prob(z.clone()))


@pytest.mark.parametrize("name", ANY_SHAPE)
@pytest.mark.parametrize("shape", [(), (1,), (2, 3, 2)])
def test_event_shapes(name: str, shape: tuple[int, ...]) -> None:
    p = ANY_SHAPE[name](shape)()

    assert p.event_shape == shape
    assert p.log_prob(p.sample((4,))).shape == (4,)


@priors
@pytest.mark.parametrize("d", [1, 2])
def test_goodness_of_fit(name: str, d: int) -> None:
    prior = moved(PRIORS[name]((d,)))

    with torch.no_grad():
        p = prior()
        z = p.sample((10000,))
        # A clone, lest a flow only repeats what it remembers of the draw.
        assert auto_goodness_of_fit(z, p.log_prob(z.clone()).exp()) > LIMIT[d]


@priors
@pytest.mark.parametrize("way", ["log_prob", "rsample"])
def test_gradients(name: str, way: str) -> None:
    prior = PRIORS[name]((2,))
    p = prior()

    if not list(prior.parameters()) or (way == "rsample" and not p.has_rsample):
        return

    value = p.log_prob(torch.randn(8, 2)) if way == "log_prob" else p.rsample((8,)) ** 3
    value.sum().backward()

    for key, parameter in prior.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), key
        assert parameter.grad.any(), key


@priors
def test_float64(name: str) -> None:
    p = PRIORS[name]((2,)).double()()

    assert p.sample().dtype == torch.float64
    assert p.log_prob(p.sample()).dtype == torch.float64


@priors
def test_state(name: str) -> None:
    prior, other = moved(PRIORS[name]((2,))), PRIORS[name]((2,))
    z = torch.randn(8, 2)
    other.load_state_dict(prior.state_dict())

    assert torch.equal(prior().log_prob(z), other().log_prob(z))


@pytest.mark.parametrize("name", [name for name in PRIORS if not name.startswith("Vamp")])
def test_attach_does_nothing(name: str) -> None:
    prior = PRIORS[name]((2,))
    before = {key: value.clone() for key, value in prior.state_dict().items()}

    assert prior.attach(posterior=posterior(Normal((2,))), data=torch.rand(20, 5)) is prior
    assert prior.attach() is prior
    assert before.keys() == prior.state_dict().keys()
    assert all(torch.equal(before[key], value) for key, value in prior.state_dict().items())


# Laws of one prior


def test_family_prior_at_zero_is_standard_normal() -> None:
    z = torch.randn(100, 2)
    standard = StandardNormal((2,))().log_prob(z)

    # The scale at h = 0 is 1 - 3.3e-7, hence an error of 3.3e-7 * (1 + z^2) per element.
    torch.testing.assert_close(FamilyPrior(Normal((2,)))().log_prob(z), standard, rtol=0, atol=1e-5)
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
    prior = FamilyPrior(families.Flow((5,), kind="MAF", hidden=(16,)))
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


@pytest.mark.parametrize(
    "make, sentence",
    [
        *((lambda f=f: f((0,)), "needs positive sizes in event_shape") for f in PRIORS.values()),
        *((lambda f=f: f((2, -1)), "needs positive sizes") for f in ANY_SHAPE.values()),
        *((lambda f=f: f((2, 3)), "is over vectors.*such as") for f in VECTORS.values()),
        (lambda: GaussianMixture((2,), components=0), "one component or more, got 0"),
        (lambda: GaussianMixture((2,), floor=0.0), "0 < floor < 1 < ceiling"),
        (lambda: GaussianMixture((2,), spread=-1.0), "spread"),
        (lambda: LearnedNormal((2,), ceiling=0.5), "0 < floor < 1 < ceiling"),
        (lambda: Flow((2,), kind="MAP"), "Flow has no kind 'MAP'; take one of MAF"),
        (lambda: Flow((2,), transforms=0), "transforms"),
        (lambda: Flow((2,), hidden=(0,)), "hidden"),
        (lambda: Vamp((2,), components=0), "one component or more, got 0"),
        (lambda: Vamp((2,))(), r"call prior.attach\(posterior, data\) first"),
        (lambda: Vamp((2,)).attach(), "needs the posterior and rows of data"),
        (lambda: Vamp((2,)).attach(posterior(Normal((2,)))), "needs the posterior and rows"),
        (
            lambda: Vamp((2,)).attach(posterior(Normal((3,))), torch.rand(20, 5)),
            r"over \(2,\), but the posterior is over \(3,\); give both the same shape",
        ),
        (
            lambda: Vamp((2,)).attach(posterior(Normal((2,))), torch.rand(20, 4)),
            r"rows of shape \(5,\), got \(20, 4\)",
        ),
        (lambda: Vamp((2,)).attach(posterior(Normal((2,))), torch.rand(0, 5)), "rows of data"),
    ],
)
def test_refusals(make: Callable[[], object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make()


def test_vamp_moves_pseudo_inputs_on_the_bounds() -> None:
    posterior = Conditional((6,), Normal((2,)), mlp([8]))
    prior = Vamp((2,), components=4).attach(posterior, torch.rand(10, 6).round())
    assert isinstance(prior, Vamp)
    prior.inputs.data += torch.randn(4, 6)  # some lie outside of [0, 1] now

    prior().log_prob(torch.randn(5, 2)).sum().backward()
    assert (prior.inputs.grad != 0).all()
