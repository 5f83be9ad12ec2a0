r"""The programs of a run, with their weights and their data."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import pyro
import torch
from torch import Tensor

from ..catalogue import find_experiment
from ..data import Data, stored
from ..device import pick_device
from ..experiment import Experiment
from ..folder import checkpoint
from ..folder.create import build
from ..folder.freeze import freeze
from ..folder.userfile import check_unchanged
from ..options import Options
from ..svi import SVI
from .records import Records

__all__ = ["Programs"]


class Programs(Records):
    r"""What a run trains: built from its records, loaded from its checkpoints.

    Arguments:
        folder: The folder of the run.
        device: ``"auto"``, or a device of torch.
        weights: ``"best"``, by validation bound, or ``"last"``.

    Raises:
        ValueError: If the folder is missing, incomplete or damaged.
    """

    def __init__(self, folder: Path | str, *, device: str = "auto", weights: str = "best") -> None:
        self.device = pick_device(device)
        self.weights = weights
        super().__init__(folder)

        if weights not in ("best", "last"):
            raise ValueError(f"The weights of a run are 'best' or 'last', got {weights!r}.")

    @cached_property
    def experiment(self) -> Experiment:
        r"""The experiment, built without its data."""
        for name, known in self.config["files"].items():
            check_unchanged(self.dir / name, known)

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

    def raw(self, x: Tensor) -> Tensor:
        r"""Data of the model in the units of the raw data: undoes a scaling, if there is one."""
        scaling = self.data.scaling
        return x if scaling is None else scaling.inv(x.cpu())
