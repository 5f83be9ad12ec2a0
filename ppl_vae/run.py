r"""A run and its folder: configuration, checkpoints, results.

The folder holds

- ``config.yaml``: the resolved configuration; ``files/`` the user's own files it refers to;
- ``data.json``: what building the programs needs of the data; ``provenance.json``;
- ``metrics.csv``: a row per epoch; ``checkpoints/last.safetensors`` and ``best.safetensors``;
- ``evidence.json``: a list of evaluations; ``evidence-SPLIT-DATAxPARTICLES.npz``: per datum;
- ``figures/*.png`` and ``report.html``.
"""

from __future__ import annotations

import csv
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyro
import torch
import yaml
from torch import Tensor

from .catalogue import find_experiment
from .data import Data, array, stored
from .device import pick_device
from .evaluation import Evidence, log_evidence
from .experiment import Experiment
from .fit import Interrupted, Training
from .folder import checkpoint
from .folder.atomic import WriteError, write_arrays, write_json
from .folder.create import Plan, build, check_free
from .folder.freeze import freeze
from .folder.gallery import figures
from .folder.saver import Saver, stopping_on_signals
from .folder.userfile import digest
from .legality import judge
from .nonfinite import NonFiniteError
from .options import Options
from .predict import encode, predict, sample
from .svi import SVI
from .weights import base_measure

__all__ = ["Run", "load", "train", "training_of"]


def train(
    experiment: str,
    out: Path | str,
    options: list[str] | None = None,
    *,
    overwrite: bool = False,
    progress: bool = True,
) -> Run:
    r"""Trains an experiment into a folder.

    Arguments:
        experiment: A name in ``experiments/``, or the path of a Python file.
        out: The folder.
        options: Options as on the command line, such as ``["--prior", "Vamp"]``.
        overwrite: Whether a run that is there already is replaced.
        progress: Whether progress is shown.

    Raises:
        ValueError: If an option is wrong, or there is a run already.
        Interrupted: If a signal asked to stop; the run can be resumed.
    """
    out = Path(out)
    check_free(out, overwrite)
    plan = Plan.of(experiment, options or [])
    _ask(plan.experiment)
    # All that can be wrong with options and data shows before the folder is touched.
    training = training_of(plan.experiment, plan.seed, plan.device, progress)
    plan.write(out, training)
    run = Run(out, device=plan.device)
    run.__dict__["experiment"] = plan.experiment
    run.follow(training)
    return run


def load(folder: Path | str, *, device: str = "auto", weights: str = "best") -> Run:
    r"""Loads a run, without its data; files of the user in it are executed.

    Arguments:
        folder: The folder of the run.
        device: ``"auto"``, or a device of torch.
        weights: ``"best"``, by validation ELBO, or ``"last"``.

    Raises:
        ValueError: If the folder is missing, incomplete or damaged.
    """
    run = Run(folder, device=device, weights=weights)
    run.svi  # noqa: B018  fails now rather than later
    return run


class Run:
    r"""A run in its folder, which need not be finished.

    Data go in and out as the programs see them: as :meth:`batch` returns them, scaled where the
    data set scales. :meth:`raw` undoes that.

    Arguments:
        folder: The folder of the run.
        device: ``"auto"``, or a device of torch.
        weights: ``"best"``, by validation ELBO, or ``"last"``.

    Raises:
        ValueError: If the folder is missing, incomplete or damaged.
    """

    def __init__(self, folder: Path | str, *, device: str = "auto", weights: str = "best") -> None:
        self.dir = Path(folder)
        self.device = pick_device(device)
        self.weights = weights

        if not self.dir.is_dir():
            raise ValueError(f"There is no run folder {self.dir}.")
        if not (self.dir / "config.yaml").is_file():
            inner = sorted(str(path.parent) for path in self.dir.glob("*/config.yaml"))
            which = f" It holds runs: name one of them, such as {inner[0]}." if inner else ""
            raise ValueError(f"The folder {self.dir} is no run: it has no config.yaml.{which}")
        if weights not in ("best", "last"):
            raise ValueError(f"The weights of a run are 'best' or 'last', got {weights!r}.")

    @cached_property
    def config(self) -> dict[str, Any]:
        r"""The resolved configuration."""
        kinds = {"experiment": str, "seed": int, "options": dict, "files": dict}
        path = self.dir / "config.yaml"

        try:
            config = yaml.safe_load(path.read_text())
        except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
            raise ValueError(f"The file {path} is damaged: {error}.") from error

        config = config if isinstance(config, dict) else {}
        for key, kind in kinds.items():
            if not isinstance(config.get(key), kind):
                raise ValueError(f"The file {path} is damaged or truncated: it lacks {key!r}.")

        return {**{key: config[key] for key in kinds}, "frozen": bool(config.get("frozen"))}

    @cached_property
    def data_summary(self) -> dict[str, Any]:
        r"""What building needs of the data, and what identifies them."""
        return self._json("data.json")

    @property
    def provenance(self) -> dict[str, Any]:
        r"""Versions, commit, device, and, once trained, seconds and parameters."""
        return self._json("provenance.json")

    @cached_property
    def experiment(self) -> Experiment:
        r"""The experiment, built without its data."""
        for name, known in self.config["files"].items():
            if not (self.dir / name).is_file() or digest(self.dir / name) != known:
                raise ValueError(f"The file {self.dir / name} is missing or was changed.")

        with stored(self.data_summary):
            parser = Options(find_experiment(self.config["experiment"], self.dir), self.dir)
            built = build(parser, self.config["options"])[0]

        if self.config["frozen"]:
            freeze(built)
        return built

    @cached_property
    def svi(self) -> SVI:
        r"""The programs with the weights of the run."""
        path = self.dir / "checkpoints" / f"{self.weights}.safetensors"
        tensors, _ = checkpoint.read(path)
        svi = self.experiment.svi()

        if any(name.startswith("param.") for name in tensors):
            # A bare pyro.param is not known before the programs have run.
            with pyro.validation_enabled(False):
                svi.prepare(x=self.data.mean.expand(2, *self.data.event_shape))

        checkpoint.restore_weights(svi, tensors, path)

        for module in (self.experiment.model, self.experiment.guide):
            if isinstance(module, torch.nn.Module):
                module.to(self.device).eval()

        return svi

    @property
    def model(self) -> Any:
        r"""The trained model."""
        return self.svi.model

    @property
    def guide(self) -> Any:
        r"""The trained guide."""
        return self.svi.guide

    @property
    def data(self) -> Data:
        r"""The data set; its rows are loaded when they are asked for."""
        return self.experiment.data

    @property
    def history(self) -> list[dict[str, float]]:
        r"""The rows of ``metrics.csv``."""
        path = self.dir / "metrics.csv"
        if not path.is_file():
            return []

        with path.open() as file:
            return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]

    @property
    def evidence(self) -> list[dict[str, Any]]:
        r"""The evaluations so far."""
        return self._json("evidence.json") if (self.dir / "evidence.json").exists() else []

    def evidence_per_datum(self, split: str) -> dict[str, np.ndarray] | None:
        r"""The evaluation on a split with the most data, then the most particles, per datum."""
        records = [r for r in self.evidence if r["split"] == split]
        if not records:
            return None

        best = max(records, key=lambda r: (r["n"], r["particles"]))
        path = self.dir / f"evidence-{split}-{best['n']}x{best['particles']}.npz"
        if not path.is_file():
            return None

        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)

    def resume(self, *, progress: bool = True) -> None:
        r"""Continues an interrupted training; the result equals that of an uninterrupted one.

        It runs on the kind of device that it began on.

        Raises:
            Interrupted: If a signal asked to stop; the state is saved.
            NonFiniteError: If the loss stops being finite; the last checkpoint is kept.
        """
        path = self.dir / "checkpoints" / "last.safetensors"
        content = checkpoint.read(path)
        began = self.provenance["device"].partition(" ")[0].partition(":")[0]

        if began != self.device.type:
            raise ValueError(
                f"The run {self.dir} began on {began}, and its random state is of that device; "
                f"resume it there (--device {began}), or train it anew."
            )

        # Programs that were loaded are in evaluation mode: training starts from new ones.
        self.__dict__.pop("experiment", None)
        training = training_of(self.experiment, self.config["seed"], str(self.device), progress)
        checkpoint.restore(training, content, path)

        if training.epoch < training.epochs and not training.out_of_patience:
            self._forget_evaluations()

        self.follow(training)

    def follow(self, training: Training) -> None:
        r"""Runs a training with checkpoints; SIGINT and SIGTERM stop it after the current step."""
        saver = Saver(self.dir, training, self.provenance)
        training.on_epoch = saver.epoch
        self.__dict__.pop("svi", None)

        with stopping_on_signals(training):
            try:
                training.run()
                saver.save()
            except NonFiniteError:
                saver.save_best()
                raise
            except Interrupted as stop:
                saver.save()
                stop.add_note(f"ppl-vae resume {self.dir} continues.")
                raise
            except WriteError as error:
                error.add_note(f"With space again, ppl-vae resume {self.dir} continues.")
                raise

    def _forget_evaluations(self) -> None:
        # They are of weights that training will replace.
        for path in (self.dir / "evidence.json", *self.dir.glob("evidence-*.npz")):
            path.unlink(missing_ok=True)

    def batch(self, split: str, limit: int | None = None, seed: int = 0) -> dict[str, Tensor]:
        r"""Rows of a split, all or a random subset (files may be sorted by class), in order."""
        n = len(self.data[split])
        index = torch.arange(n)

        if limit is not None and limit < 1:
            raise ValueError(f"The limit must be positive, got {limit}.")
        if limit is not None and limit < n:
            shuffle = torch.Generator().manual_seed(seed)
            index = torch.randperm(n, generator=shuffle)[:limit].sort().values

        # Rows under dynamic binarization are drawn: by this seed, not by what came before.
        noise = torch.Generator(self.device).manual_seed(seed)
        return self.data.batch(split, index, device=self.device, generator=noise)

    def figures(self) -> dict[str, Any]:
        r"""The figures of the report, by name; those that need absent data are left out."""
        return figures(self)

    def log_evidence(
        self, x: Tensor | None = None, *, exposure: Tensor | None = None, **options: Any
    ) -> Evidence:
        r"""Estimates :math:`\log p(x)` of data, by default those of the test split.

        Arguments:
            x: The data, with shape ``(n, *x_shape)``.
            exposure: Their exposures, with shape ``(n,)``, as for :meth:`reconstruct`.
            options: The options of :func:`ppl_vae.evaluation.log_evidence`.
        """
        if x is None:
            batch = self.batch("test")
        else:
            x = torch.as_tensor(x, device=self.device)
            given = self._exposure(x, exposure)
            if self.data.exposure is not None and not given:
                raise ValueError(
                    "The data of this run come with exposures, and log p(x) depends on them: give "
                    "those of x, log_evidence(x, exposure=...)."
                )
            batch = {"x": x, **given}

        return log_evidence(self.model, self.guide, batch, **options)

    def evaluate(
        self,
        split: str = "test",
        particles: int = 5000,
        limit: int | None = None,
        seed: int = 0,
        **options: Any,
    ) -> dict[str, Any]:
        r"""Estimates the evidence of a split and keeps the record, which replaces its like.

        Returns:
            The record: see :meth:`ppl_vae.evaluation.Evidence.summary`.
        """
        batch = self.batch(split, limit, seed)
        start = time.perf_counter()
        evidence = log_evidence(
            self.model, self.guide, batch, particles=particles, seed=seed, **options
        )
        # Of the raw data. Missing entries are no dimensions, and change no volume.
        evidence = evidence.shifted(self.data.log_volumes(batch["x"]))
        dims = batch["x"].isnan().logical_not().sum().item() / len(evidence)
        record = {
            "method": "importance",
            "split": split,
            **evidence.summary(dims),
            "seed": seed,
            "weights": self.weights,
            "rows": _digest(batch["index"]),
            "seconds": time.perf_counter() - start,
            "device": str(self.device),
            "base_measure": self._base_measure(batch),
        }
        # Fewer data are no repetition of all of them.
        key = ("method", "split", "particles", "n")
        others = [r for r in self.evidence if any(r[k] != record[k] for k in key)]
        write_json(self.dir / "evidence.json", [*others, record])
        arrays = {k: v.cpu().numpy() for k, v in vars(evidence).items() if isinstance(v, Tensor)}
        name = f"evidence-{split}-{len(evidence)}x{particles}.npz"
        write_arrays(self.dir / name, {**arrays, "index": batch["index"].cpu().numpy()})
        return record

    def _base_measure(self, batch: Mapping[str, Tensor]) -> str:
        name = base_measure(self.model, {k: v[:1] for k, v in batch.items()})
        given = "exposure" in batch and "given" not in name
        return f"{name} given the exposure" if given else name

    def encode(self, x: Tensor) -> dict[str, dict[str, Tensor]]:
        r"""The codes of data: by latent site, a draw and the posterior's mean and scale."""
        x = torch.as_tensor(x, device=self.device)
        return _by_rows(lambda rows: encode(self.guide, rows), x)

    def reconstruct(self, x: Tensor, *, exposure: Tensor | None = None, seed: int = 0) -> Tensor:
        r"""The mean of :math:`p(x \mid z)` for a draw of :math:`z \sim q(z \mid x)`.

        Arguments:
            x: The data, with shape ``(n, *x_shape)``.
            exposure: Their exposures, with shape ``(n,)``. Without them, they are the totals of
                ``x`` where the data set's are totals or the likelihood is given totals, else
                the median of the training split.
            seed: The seed of the draws.
        """
        x = torch.as_tensor(x, device=self.device)

        with self._seeded(seed):
            latent = {name: code["draw"] for name, code in self.encode(x).items()}
            return self.decode(latent, **self._exposure(x, exposure))

    def decode(self, latent: Mapping[str, Tensor], **observed: Tensor) -> Tensor:
        r"""The mean of :math:`p(x \mid z)`, for latent variables by site.

        Arguments:
            latent: The values of the latent sites, each with shape ``(n, *z_shape)``.
            observed: Other arguments of the model, such as the exposures.
        """
        n = len(next(iter(latent.values())))
        return predict(self.model, latent, n, **observed)["x"]

    def _exposure(self, x: Tensor, exposure: Tensor | None) -> dict[str, Tensor]:
        if exposure is None:
            exposure = self.data.exposure_of(x)
        if exposure is None and hasattr(self.model, "exposure_of"):
            exposure = self.model.exposure_of(x)

        return {} if exposure is None else {"exposure": torch.as_tensor(exposure).to(x)}

    def codes(self, split: str = "test", *, seed: int = 0) -> dict[str, np.ndarray]:
        r"""The codes of a split as arrays, with its labels, if it has any, and the rows' index."""
        batch = self.batch(split)
        labels = self.data[split].labels
        extra = {} if labels is None else {"labels": labels.numpy()}
        return {**self._codes(batch["x"], seed), **extra, "index": batch["index"].cpu().numpy()}

    def codes_of(
        self,
        file: Path | str,
        labels: str | None = None,
        seed: int = 0,
        *,
        exposure: str | int | None = None,
    ) -> dict[str, np.ndarray]:
        r"""The codes of the rows of a file, scaled or binarized as the training data were.

        Arguments:
            file: A file in any format that :func:`ppl_vae.data.array` reads.
            labels: The column of labels, if there is one.
            seed: The seed of the draws.
            exposure: The column of exposures, if there is one.

        Raises:
            ValueError: If the file is missing, or its rows have another shape.
        """
        kind = self.data.binarization
        shape = self.data.event_shape
        rows = array(
            train_file=file,
            labels=labels,
            event_shape=shape,
            binarization=kind,
            exposure=exposure,
            allow_nan=self.data.missing,
        )
        noise = torch.Generator().manual_seed(seed)
        x, scaling = rows.batch("train", generator=noise)["x"], self.data.scaling
        if scaling is not None:
            x = scaling(rows["train"].sites["x"]).float()

        marks = rows["train"].labels
        return {**self._codes(x, seed), **({} if marks is None else {"labels": marks.numpy()})}

    def _codes(self, x: Tensor, seed: int) -> dict[str, np.ndarray]:
        with self._seeded(seed):
            codes = self.encode(x)

        return {
            name if key == "draw" else f"{name}_{key}": value.cpu().numpy()
            for name, code in codes.items()
            for key, value in code.items()
        }

    def raw(self, x: Tensor) -> Tensor:
        r"""Data of the model in the units of the raw data: undoes a scaling, if there is one."""
        scaling = self.data.scaling
        return x if scaling is None else scaling.inv(x.cpu())

    def sample(self, n: int, *, seed: int = 0) -> tuple[Tensor, Tensor]:
        r"""Draws from the model: data, and the means of the likelihood that they are draws of."""
        with self._seeded(seed):
            values, means = sample(self.model, n)

        return values["x"], means["x"]

    @contextmanager
    def _seeded(self, seed: int) -> Iterator[None]:
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(seed)
            yield

    def _json(self, name: str) -> Any:
        try:
            return json.loads((self.dir / name).read_text())
        except (OSError, ValueError) as error:
            raise ValueError(
                f"The run {self.dir} is incomplete: {name} is missing or damaged ({error})."
            ) from error


def _ask(e: Experiment) -> None:
    # A few rows tell whether the parts go together.
    rows = torch.arange(min(64, len(e.data["train"])))
    batch = e.data.batch("train", rows, generator=torch.Generator().manual_seed(0))
    verdict = judge(e.model, e.guide, e.objective, batch)

    if not verdict.legal:
        raise ValueError(verdict.reason)


def training_of(e: Experiment, seed: int, device: str, progress: bool) -> Training:
    r"""The training of an experiment, from its start."""
    return Training(
        e.svi(),
        e.data,
        e.epochs,
        batch_size=e.batch_size,
        seed=seed,
        scheduler=e.scheduler,
        warmup=e.warmup,
        patience=e.patience,
        device=device,
        progress=progress,
    )


def _digest(index: Tensor) -> str:
    return hashlib.sha256(index.cpu().numpy().tobytes()).hexdigest()[:16]


def _by_rows(f: Callable[[Tensor], Any], x: Tensor, size: int = 1000) -> Any:
    parts = [f(rows) for rows in x.split(size)]
    return {
        site: {k: torch.cat([part[site][k] for part in parts]) for k in parts[0][site]}
        for site in parts[0]
    }
