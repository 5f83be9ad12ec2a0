r"""What the programs of a run say of data: codes, reconstructions, draws."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data import array
from ..predict import encode, predict, sample
from .programs import Programs

__all__ = ["Predictions"]


class Predictions(Programs):
    r"""What a run says of data, which are as the programs see them.

    The arguments are those of :class:`~ppl_vae.run.programs.Programs`.
    """

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

    def sample(self, n: int, *, seed: int = 0) -> tuple[Tensor, Tensor]:
        r"""Draws from the model: data, and the means of the likelihood that they are draws of."""
        with self._seeded(seed):
            values, means = sample(self.model, n)

        return values["x"], means["x"]

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
        rows = array(
            train_file=file,
            labels=labels,
            event_shape=self.data.event_shape,
            binarization=self.data.binarization,
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

    def _exposure(self, x: Tensor, exposure: Tensor | None) -> dict[str, Tensor]:
        if exposure is None:
            exposure = self.data.exposure_of(x)
        if exposure is None and hasattr(self.model, "exposure_of"):
            exposure = self.model.exposure_of(x)

        return {} if exposure is None else {"exposure": torch.as_tensor(exposure).to(x)}

    @contextmanager
    def _seeded(self, seed: int) -> Iterator[None]:
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(seed)
            yield


def _by_rows(f: Callable[[Tensor], Any], x: Tensor, size: int = 1000) -> Any:
    parts = [f(rows) for rows in x.split(size)]
    return {
        site: {k: torch.cat([part[site][k] for part in parts]) for k in parts[0][site]}
        for site in parts[0]
    }
