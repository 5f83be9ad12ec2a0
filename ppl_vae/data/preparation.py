r"""From raw rows to those of a data set: checked, scaled, stored compactly, binarized."""

from __future__ import annotations

__all__ = ["Preparation"]

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from .binarize import BINARIZATIONS, Sampler, bernoulli, binarize
from .compact import compact
from .exposure import check_exposure, with_totals
from .scaling import Affine
from .split import Split, verify


@dataclass(frozen=True)
class Preparation:
    r"""What is done to raw rows, in this order: totals, checks, scaling, storing, binarization.

    Arguments:
        binarization: One of `none`, `threshold`, `static` and `dynamic`.
        scale: Fits a scaling of `x` on the training split.
        seed: The seed of the binarization.
        sampler: Draws binary values from the seed.
        allow_nan: Whether values may be missing.
        totals: Whether the exposure of each row of counts is its total.

    Raises:
        ValueError: for an unknown binarization, or options that contradict each other.

    Example:
        >>> import torch
        >>> raw = {"train": Split({"x": torch.tensor([[0.0], [255.0]])})}
        >>> splits, scaling = Preparation(binarization="threshold")("toy", raw)
        >>> splits["train"].sites["x"].flatten(), scaling
        (tensor([0, 1], dtype=torch.uint8), None)
    """

    binarization: str = "none"
    scale: Callable[[Tensor], Affine] | None = None
    seed: int = 0
    sampler: Sampler = bernoulli
    allow_nan: bool = False
    totals: bool = False

    def __post_init__(self) -> None:
        if self.binarization not in BINARIZATIONS:
            names = ", ".join(BINARIZATIONS)
            raise ValueError(f"unknown binarization {self.binarization!r}: there are {names}.")

        if self.binarization != "none" and self.scale is not None:
            raise ValueError("binary data has no scale: choose a scaling or a binarization.")

        if self.totals and (self.binarization != "none" or self.scale is not None):
            raise ValueError("totals are those of counts as they are: neither scale nor binarize.")

    def __call__(
        self, name: str, raw: Mapping[str, Split]
    ) -> tuple[dict[str, Split], Affine | None]:
        r"""The prepared splits, and the scaling that they went through, if any.

        Arguments:
            name: The name of the data set, for messages.
            raw: The raw splits by name.

        Raises:
            ValueError: for data that is empty or broken.
        """

        scaling = None

        if self.totals:
            raw = {k: with_totals(v) for k, v in raw.items()}

        verify(name, raw, allow_nan=self.allow_nan)
        check_exposure(name, raw)

        if self.scale is not None:
            scaling = self.scale(raw["train"].sites["x"])
            raw = {k: v.replace(scaling(v.sites["x"])) for k, v in raw.items()}

        splits = compact(raw)

        return binarize(splits, self.binarization, seed=self.seed, sampler=self.sampler), scaling
