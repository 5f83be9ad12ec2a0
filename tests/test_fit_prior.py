r"""Laws of a prior that is fitted after training."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch

from ppl_vae.cli import main
from ppl_vae.compare import groups
from ppl_vae.drawing.facts import facts
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


@pytest.fixture(scope="module")
def fitted(trained: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    r"""A fitted run; tests do not change it."""
    options = ["--prior", "GaussianMixture", "--prior.components", "4", "--epochs", "2"]
    out = tmp_path_factory.mktemp("fitted") / "new"
    return fit_prior(trained.dir, out, options, progress=False)


def test_it_tells_which_run_the_rest_comes_from(trained: Run, fitted: Run) -> None:
    told = fitted.provenance["parent"]
    weights = trained.dir / "checkpoints" / "best.safetensors"
    best = max(trained.history, key=lambda row: row["validation_elbo"])

    assert (told["run"], told["weights"]) == ("vae", "best.safetensors")
    assert told["sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert (told["epochs"], told["epoch"]) == (20, best["epoch"])
    assert told["training"]["epochs"] == 20 and told["parent"] is None
    # No place, which may tell the name of a user, leaves with a run that is given away.
    assert str(trained.dir.parent) not in (fitted.dir / "provenance.json").read_text()


def test_what_was_fitted_and_what_was_kept_are_all_there_is(fitted: Run) -> None:
    told = fitted.provenance
    every = {id(p): p.numel() for m in (fitted.model, fitted.guide) for p in m.parameters()}
    assert told["parameters"] == sum(p.numel() for p in fitted.model.prior.parameters())
    assert told["parameters"] + told["parent"]["kept"] == sum(every.values())


def test_a_fit_to_a_fit_tells_of_both_runs(fitted: Run, tmp_path: Path) -> None:
    options = ["--prior", "LearnedNormal", "--epochs", "1"]
    again = fit_prior(fitted.dir, tmp_path / "again", options, progress=False)
    told, before = again.provenance["parent"], fitted.provenance["parent"]
    assert (told["run"], told["epochs"], told["parent"]) == ("new", 2, before)
    assert told["kept"] == before["kept"]
    rows = dict(facts(again.config, again.data_summary, again.provenance, again.history))
    assert "a prior fitted for 2 epochs; all else as the run vae left it" in rows["kept"]


def test_resuming_keeps_what_is_told(fitted: Run) -> None:
    told = fitted.provenance
    Run(fitted.dir).resume(progress=False)
    assert Run(fitted.dir).provenance == told


def test_the_report_tells_what_was_fitted_and_what_was_kept(fitted: Run) -> None:
    told = fitted.provenance
    rows = dict(facts(fitted.config, fitted.data_summary, told, fitted.history))
    kept, epoch = told["parent"]["kept"], told["parent"]["epoch"]
    assert rows["fitted"] == f"the prior alone, {told['parameters']} parameters"
    assert rows["fitted for"].startswith("2 epochs")
    assert rows["kept"] == (
        f"all else, {kept:,} parameters, as the run vae left it in best.safetensors, which is of "
        f"epoch {epoch} (trained: 20 epochs)"
    )
    assert rows["hash of what was kept from"] == told["parent"]["sha256"]
    assert rows["epochs of the fit"] == "2" and rows["optimizer of the fit"].startswith("Adam(")
    # Nothing of this is said of the whole model.
    assert not {"parameters", "trained", "epochs", "optimizer", "objective"} & rows.keys()


def test_the_report_of_a_fit_without_its_parent_tells_what_is_known(fitted: Run) -> None:
    known = {k: v for k, v in fitted.provenance.items() if k not in ("parent", "training")}
    rows = dict(facts(fitted.config, fitted.data_summary, known, fitted.history))
    assert rows["kept"] == "all else, as another run left it" and "trained" not in rows


def test_fits_to_runs_of_other_trainings_are_no_group(
    trained: Run, fitted: Run, tmp_path: Path
) -> None:
    r"""Their own options are the same, and so is the seed."""
    other = train("digits", tmp_path / "other", [*SMALL, "--warmup", "2"], progress=False)
    options = ["--prior", "GaussianMixture", "--prior.components", "4", "--epochs", "2"]
    last = fit_prior(other.dir, tmp_path / "last", options, progress=False)
    for run in (fitted, last):
        run.evaluate("test", particles=10, limit=20)
    assert {row["name"] for row in groups([fitted.dir, last.dir])} == {"new", "last"}


def test_a_comparison_counts_the_whole_model(trained: Run, fitted: Run) -> None:
    fitted.evaluate("test", particles=10, limit=20)
    (row,) = groups([fitted.dir])
    own = fitted.provenance
    assert row["parameters"] == own["parameters"] + own["parent"]["kept"]
    assert row["seconds"] == own["seconds"] + trained.provenance["seconds"]


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
