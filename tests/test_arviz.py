r"""Laws of the way to ArviZ: what is handed over is ours, and what ArviZ makes of it is right."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from test_posterior import GROUPS, linear

from ppl_vae import train
from ppl_vae.arviz import to_arviz
from ppl_vae.evaluation import khat
from ppl_vae.posterior import posterior_draws

with warnings.catch_warnings():
    # It tells of its next release once a day.
    warnings.simplefilter("ignore", FutureWarning)
    arviz = pytest.importorskip("arviz", reason="ArviZ is not installed")


@contextmanager
def unsure() -> Iterator[None]:
    r"""ArviZ warns of draws in which its estimate is not to be trusted: so it is here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Estimated shape parameter of Pareto")
        yield


def psis_shapes(log_w: np.ndarray) -> np.ndarray:
    r"""The shapes of tails by ArviZ, of log weights with shape ``(n, K)``."""
    try:
        from arviz_stats.base import array_stats
    except ImportError:
        shapes: np.ndarray = arviz.psislw(log_w)[1]
    else:
        # It takes log likelihoods, of which weights are the inverse.
        shapes = array_stats.psislw(-log_w)[1]
    return shapes


def test_groups_and_dimensions() -> None:
    r"""All that was drawn is there, by chain, draw and datum, with the rows' index."""
    run = linear(6)
    found = to_arviz(run, draws=8, particles=20)
    ours = posterior_draws(run, draws=8, particles=20)

    for group in GROUPS:
        data = found[group]
        drawn = () if group in ("observed_data", "constant_data") else ("chain", "draw")
        for name, values in ours[group].items():
            if name == "index":
                continue
            assert data[name].dims[: len(drawn) + 1] == (*drawn, "datum"), (group, name)
            np.testing.assert_array_equal(data[name].values, values)
        assert data["datum"].values.tolist() == list(range(100, 106))

    assert found["posterior"]["z"].dims == ("chain", "draw", "datum", "z_dim_0")
    assert found["observed_data"]["x"].dims == ("datum", "x_dim_0")
    assert found["log_likelihood"]["x"].dims == ("chain", "draw", "datum")
    assert found.attrs["method"] == "resampled" and found.attrs["particles"] == 20


@torch.no_grad()
def test_loo_is_the_evidence(float64: None) -> None:
    r"""Leaving a datum out leads back to the prior: loo estimates log p(x), which is known.

    Of data with much noise, so that the weights 1 / p(x | z) have a variance. Over 200 data the
    mean error is zero within 4 of its standard errors (once in 16000), and up to a hundredth of a
    nat for the bias of a log.
    """
    run = linear(200)
    run.model.log_scale += 1.2
    x = run.model(n=200)
    run.batch = lambda *_: {"x": x, "index": torch.arange(200)}
    with unsure():
        loo = arviz.loo(to_arviz(run, draws=2000, particles=2000), pointwise=True)

    values = np.asarray(loo.elpd_i if hasattr(loo, "elpd_i") else loo.loo_i)
    k, exact = np.asarray(loo.pareto_k), run.model.log_evidence(x).numpy()
    error = (values - exact)[k < 0.5]
    assert len(error) > 100
    assert abs(error.mean()) < 4 * error.std() / len(error) ** 0.5 + 0.01


def test_summaries_and_plots() -> None:
    r"""What people do first: a summary, and predictions over data."""
    found = to_arviz(linear(6), draws=40, particles=100)
    told = arviz.summary(found, var_names=["z"])
    assert len(told) == 12

    from matplotlib import pyplot

    pyplot.switch_backend("agg")
    with warnings.catch_warnings():
        # Of matplotlib's next release, in ArviZ's own calls.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        if hasattr(arviz, "plot_ppc"):
            arviz.plot_ppc(found, num_pp_samples=10)
            arviz.plot_ppc(found, group="prior", num_pp_samples=10)
        else:
            arviz.plot_ppc_dist(found, num_samples=10)
            arviz.plot_ppc_dist(found, group="prior_predictive", num_samples=10)
    pyplot.close("all")


@pytest.mark.parametrize("draws", [100, 130, 1000, 2500])
def test_khat_is_that_of_arviz(float64: None, draws: int) -> None:
    r"""For weights of light and heavy tails."""
    torch.manual_seed(0)
    scales = torch.linspace(0.2, 6, 40)
    log_w = torch.cat([scales * torch.randn(draws, 40), scales.log() + torch.randn(draws, 40)], 1)
    np.testing.assert_allclose(khat(log_w), psis_shapes(log_w.mT.numpy()), rtol=0, atol=1e-8)


def test_khat_of_draws() -> None:
    r"""Of the guide's own draws, ArviZ finds what stands beside them."""
    found = to_arviz(linear(6, widen=1.5), draws=400, method="guide")
    log_w = found["sample_stats"]["log_weight"].values[0].T
    ours = found["constant_data"]["khat"].values
    np.testing.assert_allclose(ours, psis_shapes(np.ascontiguousarray(log_w)), rtol=0, atol=1e-3)


def test_file(tmp_path: Path) -> None:
    r"""It goes to a file and back."""
    pytest.importorskip("h5netcdf", reason="ArviZ writes files by h5netcdf, which is not installed")
    found = to_arviz(linear(4), draws=5, particles=10)
    path = tmp_path / "draws.nc"
    found.to_netcdf(str(path))
    back = arviz.from_netcdf(str(path))
    np.testing.assert_array_equal(back["posterior"]["z"].values, found["posterior"]["z"].values)


def test_run(tmp_path: Path) -> None:
    r"""A run of digits: the rows are those of its batch, by their index."""
    small = ["--latent", "2", "--epochs", "1", "--batch_size", "512"]
    for part in ("--encoder", "--decoder"):
        small += [part, "mlp", f"{part}.hidden", "[8]"]
    run = train("digits", tmp_path / "run", small, progress=False)
    found = to_arviz(run, "test", limit=4, draws=6, particles=30, seed=3)
    batch = run.batch("test", 4, 3)
    x = found["observed_data"]["x"]
    np.testing.assert_array_equal(x.values, batch["x"].cpu())
    assert x["datum"].values.tolist() == batch["index"].tolist()
    assert found.attrs["limit"] == 4


def test_without_arviz(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "arviz", None)
    with pytest.raises(ImportError, match="pip install arviz"):
        to_arviz(linear(4))
