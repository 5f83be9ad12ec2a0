r"""The facts of a data set: what is known of it without its rows."""

from __future__ import annotations

__all__ = ["Facts"]

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from .scaling import Affine


class Facts(ABC):
    r"""What building, loading and reporting ask of a data set.

    Example:
        >>> from ppl_vae.data import Data
        >>> data = Data.of(train=torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
        >>> data.mean, data.maximum, data.missing
        (tensor([2., 3.]), 4.0, False)
    """

    @property
    @abstractmethod
    def _facts(self) -> Mapping[str, Any]:
        r"""The facts by name, as :func:`ppl_vae.data.summary.describe` tells them."""

    @property
    def event_shape(self) -> torch.Size:
        r"""The shape of one datum `x`."""

        return torch.Size(self._facts["event_shape"])

    @property
    def mean(self) -> Tensor:
        r"""The mean of `x` over the training split, in the units that the likelihood sees."""

        return torch.tensor(self._facts["mean"], dtype=torch.float32).reshape(self.event_shape)

    @property
    def maximum(self) -> float:
        r"""The largest training value of `x`, in the units that the likelihood sees."""

        return float(self._facts["maximum"])

    @property
    def counts(self) -> dict[str, int]:
        r"""The number of rows of each split."""

        return dict(self._facts["counts"])

    @property
    def hash(self) -> str:
        r"""See :func:`ppl_vae.data.summary.fingerprint`."""

        return str(self._facts["hash"])

    @property
    def log_volume(self) -> float:
        r"""The term :math:`\log p(\text{raw}) - \log p(x)`, in nats per complete datum."""

        return float(self._facts["log_volume"])

    def log_volumes(self, x: Tensor) -> Tensor:
        r"""The term :math:`\log p(\text{raw}) - \log p(x)` of each row, in nats, float64.

        A missing value (NaN) has no density, hence no term.
        """

        volumes = torch.full((len(x),), self.log_volume, dtype=torch.float64)

        if self.scaling is None or not self.missing:
            return volumes

        complete = self.scaling.log_volume(torch.zeros_like(x[:1]))

        return volumes + (self.scaling.log_volume(x) - complete).cpu()

    @property
    def missing(self) -> bool:
        r"""Whether some values of `x` are missing (NaN), in any split."""

        return bool(self._facts.get("missing"))

    @property
    def scaling(self) -> Affine | None:
        r"""The scaling from raw data to `x`, if any."""

        state = self._facts["scaling"]

        return None if state is None else Affine.load(state)

    @property
    def class_names(self) -> list[str] | None:
        r"""The names of the classes, if any."""

        names = self._facts["class_names"]

        return None if names is None else list(names)

    @property
    def exposure(self) -> float | None:
        r"""The median exposure of the training split, if its rows have exposures."""

        return self._facts.get("exposure")
