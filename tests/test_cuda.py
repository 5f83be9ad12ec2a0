r"""Laws of staging that need a GPU: one CUDA graph a step does what the steps it records do."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from program_cases import PROGRAMS
from torch import Tensor, nn

from ppl_vae.evaluation import (
    annealed_evidence,
    calibration,
    guide_misfit,
    inference_gap,
    latent_use,
    log_evidence,
    rate_distortion,
    sample_quality,
    sandwich,
)
from ppl_vae.guides import Amortized
from ppl_vae.models import Linear
from ppl_vae.objectives import ELBO, LinearWarmup
from ppl_vae.staging import CudaGraph
from ppl_vae.svi import SVI

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
adam = partial(torch.optim.Adam, lr=1e-2)


def placed(name: str) -> tuple[Any, Any, Tensor]:
    torch.manual_seed(0)
    model, guide, x = PROGRAMS[name]()
    for program in (model, guide):
        if isinstance(program, nn.Module):
            program.cuda()
    return model, guide, x.cuda()


@pytest.mark.parametrize("backend", ["fx", "inductor", "cudagraph"])
@pytest.mark.parametrize("name", ["normal, bernoulli", "vamp", "flow prior", "hierarchical"])
def test_staged_steps_are_steps(name: str, backend: str) -> None:
    r"""The same draws from the same seed; kernels may sum in another order."""
    found = []

    for way in ("off", backend):
        model, guide, x = placed(name)
        weight = LinearWarmup(steps=10)
        svi = SVI(model, guide, adam, ELBO(kl_weight=weight), compile=way)
        torch.manual_seed(1)
        losses = []
        for i in range(20):
            svi_lr = 1e-2 if i < 10 else 1e-3
            losses.append(float(svi.step(x if i % 3 else x[:-1])))
            svi.optimizer.param_groups[0]["lr"] = svi_lr
        found.append(losses)

    assert svi.reason is None and svi.backend == backend
    assert found[1] == pytest.approx(found[0], rel=1e-3)


def test_draws_follow_the_seed() -> None:
    r"""Noise is fresh at each replay, and a later seed is obeyed."""
    model, guide, x = placed("normal, bernoulli")
    svi = SVI(model, guide, partial(torch.optim.Adam, lr=0.0), compile="cudagraph")
    svi.step(x)
    torch.manual_seed(1)
    losses = [float(svi.step(x)) for _ in range(10)]
    torch.manual_seed(1)

    assert len(set(losses)) == 10
    assert [float(svi.step(x)) for _ in range(10)] == losses


def test_recording_changes_nothing() -> None:
    weight, x = torch.ones(3, device="cuda"), torch.ones(3, device="cuda")
    torch.manual_seed(1)
    before = torch.cuda.get_rng_state()

    def function(x: Tensor) -> list[Tensor]:
        weight.add_(torch.randn_like(x))
        return [weight * x]

    graph = CudaGraph(function, [x], [weight])
    assert weight.tolist() == [1.0] * 3
    assert torch.cuda.get_rng_state().equal(before)
    first = graph(x)[0]
    second = graph(x)[0]
    assert not first.equal(second) and second.equal(weight)


def test_a_step_that_is_not_finite_changes_nothing() -> None:
    model, guide, x = placed("linear")
    svi = SVI(model, guide, adam, compile="cudagraph")
    svi.step(x)
    before = [p.detach().clone() for p in svi.parameters.values()]
    assert not svi.step(torch.full_like(x, torch.inf)).isfinite()
    svi.step(x)
    assert all(a.equal(b) for a, b in zip(before, svi.parameters.values(), strict=True))


def test_replaced_parts_are_noticed() -> None:
    r"""A recording holds constants: a frozen part, or a loaded optimizer, makes another."""
    found = []

    for way in ("off", "cudagraph"):
        model, guide, x = placed("normal, bernoulli")
        svi = SVI(model, guide, adam, compile=way)
        torch.manual_seed(1)
        losses = [float(svi.step(x)) for _ in range(3)]
        saved = svi.optimizer.state_dict()
        guide.requires_grad_(False)
        losses += [float(svi.step(x)) for _ in range(3)]
        svi.optimizer.load_state_dict(saved)
        losses += [float(svi.step(x)) for _ in range(3)]
        found.append(losses)

    assert found[1] == pytest.approx(found[0], rel=1e-3)


def test_what_cannot_be_recorded_runs_on() -> None:
    model, guide, x = placed("normal, bernoulli")
    far = torch.tensor(1.0)  # on the CPU
    svi = SVI(lambda x: model(x * far), lambda x: guide(x), adam, compile="cudagraph")
    with pytest.warns(UserWarning, match=r"reads a tensor of shape \(\) on the CPU"):
        svi.step(x)
    assert svi.step(x).isfinite()


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_precision(precision: str) -> None:
    r"""It changes numbers little, and no setting of torch."""
    found = []
    setting = torch.backends.cuda.matmul.fp32_precision

    for p in ("float32", precision):
        model, guide, x = placed("normal, bernoulli")
        svi = SVI(model, guide, adam, compile="cudagraph", precision=p)
        torch.manual_seed(1)
        found.append([float(svi.step(x)) for _ in range(20)])

    assert torch.backends.cuda.matmul.fp32_precision == setting
    assert svi.reason is None and found[0] != found[1]
    assert found[1] == pytest.approx(found[0], rel=0.05)


@pytest.mark.parametrize("backend", ["fx", "inductor", "cudagraph"])
def test_evidence(backend: str) -> None:
    model, guide, x = placed("normal, bernoulli")
    off, staged = (log_evidence(model, guide, x, 250, compile=c) for c in ("off", backend))
    torch.testing.assert_close(staged.log_evidence, off.log_evidence, rtol=1e-4, atol=1e-4)


def test_annealing_is_exact() -> None:
    r"""On probabilistic PCA the lower bound falls short by little, and the upper is above it."""
    torch.manual_seed(0)
    model = Linear(6, 2, scale=0.7).cuda()
    guide, x = Amortized(model.posterior), model(n=40).detach()
    found = annealed_evidence(model, guide, x)
    short = model.log_evidence(x).detach().cpu() - found.log_evidence
    assert -0.02 < short.mean() < 0.1
    low, high = sandwich(model, guide, {"x": x}, n=40, particles=100, steps=100).edges
    assert low < high < low + 1


METHODS = {
    "gap": lambda m, g, x: inference_gap(m, g, x, particles=100, refinement=20, steps=5),
    "calibration": lambda m, g, x: calibration(m, g, {"x": x}, simulations=100, draws=15),
    "latent use": lambda m, g, x: latent_use(m, g, {"x": x}, draws=2),
    "rate and distortion": lambda m, g, x: rate_distortion(m, g, x, steps=10),
    "samples": lambda m, g, x: sample_quality(m, {"x": x}, permutations=99),
    "misfit": lambda m, g, x: guide_misfit(m, g, x, 200),
    "defensive": lambda m, g, x: log_evidence(m, g, x, 100, defensive=0.2),
    "sobol": lambda m, g, x: log_evidence(m, g, x, 128, draws="sobol"),
}


@pytest.mark.parametrize("name", METHODS)
def test_evaluations_run_where_the_programs_are(name: str) -> None:
    r"""Their numbers come back on the CPU, or where NumPy can take them."""
    model, guide, x = placed("normal, bernoulli")
    found = METHODS[name](model, guide, x.repeat(16, *[1] * (x.ndim - 1)))
    assert all(array.size > 0 for array in found.arrays().values())
