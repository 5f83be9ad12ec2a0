r"""Laws of a prior that is fitted after training."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ppl_vae.cli import main
from ppl_vae.fit_prior import fit_prior
from ppl_vae.run import Run, load, train

SMALL = ["--epochs", "20", "--batch_size", "128", "--latent", "2"]
SMALL += ["--encoder.hidden", "[16]", "--decoder.hidden", "[16]"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("runs") / "vae"
    return train("digits", out, SMALL, progress=False)


def weights(run: Run) -> dict[str, torch.Tensor]:
    state = {f"model.{k}": v for k, v in run.model.state_dict().items()}
    return state | {f"guide.{k}": v for k, v in run.guide.state_dict().items()}


@pytest.mark.parametrize(
    "options",
    [
        ["--prior", "GaussianMixture", "--prior.components", "4"],
        ["--prior", "Vamp", "--prior.components", "5"],
        ["--prior", "Flow", "--prior.transforms", "2", "--prior.hidden", "[8]"],
    ],
    ids=lambda options: options[1],
)
def test_the_prior_alone_changes(trained: Run, options: list[str], tmp_path: Path) -> None:
    epochs = ["--epochs", "4", "--optimizer", "Adam", "--optimizer.lr", "0.05"]
    fitted = fit_prior(trained.dir, tmp_path / "new", [*options, *epochs], progress=False)
    before, after = weights(load(trained.dir)), weights(load(fitted.dir, weights="last"))
    kept = [name for name in before if not name.startswith("model.prior.")]

    assert kept and all(before[name].equal(after[name]) for name in kept)
    # The ELBO rises by what the divergence from the aggregate posterior falls.
    history = fitted.history
    assert history[-1]["train_elbo"] > history[0]["train_elbo"]
    assert history[-1]["train_kl"] < history[0]["train_kl"]
    assert len(history) == 4


def test_an_interrupted_fit_is_resumed(trained: Run, tmp_path: Path) -> None:
    r"""What was frozen stays frozen."""
    options = ["--prior", "GaussianMixture", "--epochs", "2"]
    fitted = fit_prior(trained.dir, tmp_path / "new", options, progress=False)
    config = (fitted.dir / "config.yaml").read_text()
    (fitted.dir / "config.yaml").write_text(config.replace("epochs: 2", "epochs: 4"))
    resumed = Run(fitted.dir)
    resumed.resume(progress=False)
    whole = fit_prior(
        trained.dir, tmp_path / "whole", [*options[:2], "--epochs", "4"], progress=False
    )
    one, other = (weights(load(run.dir, weights="last")) for run in (resumed, whole))

    assert all(one[name].equal(other[name]) for name in one)


@pytest.mark.parametrize(
    "tokens, sentence",
    [
        (["--epochs", "2"], "fit-prior needs --prior"),
        (["--prior", "StandardNormal"], "StandardNormal has no parameters of its own"),
        (["--prior", "Flow", "--latent", "3"], "so it takes no --latent"),
        (["--prior", "Floww"], "did you mean 'Flow'"),
    ],
)
def test_refusals(
    trained: Run,
    tokens: list[str],
    sentence: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "new"
    assert main(["fit-prior", str(trained.dir), *tokens, "--out", str(out)]) == 2
    assert sentence in capsys.readouterr().err and not out.exists()
