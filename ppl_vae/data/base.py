r"""A data set: splits that load once, on demand, and what the rest needs to know of them."""

from __future__ import annotations

__all__ = ["Data", "Split"]

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from .binarize import Sampler, bernoulli, probability
from .exposure import total
from .facts import Facts
from .preparation import Preparation
from .scaling import Affine
from .split import Split
from .stored import FACTS, recall
from .summary import describe, fingerprint


class Data(Facts):
    r"""A data set with the splits `train` and, where there are any, `validation` and `test`.

    Nothing is loaded before it is asked for. The source's rows are checked, scaled, stored
    compactly and binarized, in this order. Inside :func:`ppl_vae.data.stored` a new data set
    knows its facts from a summary.

    Arguments:
        name: The name of the data set.
        load: Returns the raw splits by name.
        binarization: One of `none`, `threshold`, `static` and `dynamic`.
        protocol: The name of the evaluation protocol, if any.
        log_volume: The change of volume, in nats per datum, of what the source did already.
        scale: Fits a scaling of `x` on the training split, such as
            :func:`ppl_vae.data.scaling.standardize`.
        class_names: The names of the classes.
        seed: The seed of the binarization.
        sampler: Draws binary values from the seed.
        allow_nan: Whether values may be missing, for a masked likelihood.
        totals: Whether the exposure of each row of counts is its total.

    Raises:
        ValueError: for unknown names; upon loading, for data that is absent, empty or broken.

    Example:
        >>> rows = torch.tensor([[0, 255], [255, 0], [0, 0], [255, 0]])
        >>> data = Data("toy", lambda: {"train": Split({"x": rows})}, binarization="dynamic")
        >>> data.event_shape, data.maximum, data.mean
        (torch.Size([2]), 1.0, tensor([0.5000, 0.2500]))
        >>> data.batch("train", torch.tensor([1]))
        {'x': tensor([[1., 0.]]), 'index': tensor([1])}

    To provide a new data set, write a function that returns `Data(name, load, ...)`, where `load`
    reads the files and returns raw splits; raise a ValueError that names a file that is missing.
    """

    def __init__(
        self,
        name: str,
        load: Callable[[], Mapping[str, Split]],
        *,
        binarization: str = "none",
        protocol: str = "",
        log_volume: float = 0.0,
        scale: Callable[[Tensor], Affine] | None = None,
        class_names: Sequence[str] | None = None,
        seed: int = 0,
        sampler: Sampler = bernoulli,
        allow_nan: bool = False,
        totals: bool = False,
    ) -> None:
        self._prepare = Preparation(
            binarization=binarization,
            scale=scale,
            seed=seed,
            sampler=sampler,
            allow_nan=allow_nan,
            totals=totals,
        )

        if allow_nan and log_volume:
            raise ValueError(
                "a source with a change of volume of its own takes no missing values: their share "
                "of it is not known."
            )

        self.name = name
        self.binarization = binarization
        self.protocol = protocol

        self._load = load
        self._log_volume = log_volume
        self._class_names = class_names
        self._stored = recall()

    @classmethod
    def of(
        cls,
        train: Any,
        validation: Any = None,
        test: Any = None,
        *,
        name: str = "data",
        **options: Any,
    ) -> Data:
        r"""A data set of rows that are in memory already, as tensors or arrays of NumPy.

        Arguments:
            train: The training rows of `x`.
            validation: The validation rows, if any.
            test: The test rows, if any.
            name: The name of the data set.
            options: The other arguments of the class.

        Example:
            >>> Data.of(train=torch.rand(8, 3), test=torch.rand(2, 3)).counts
            {'train': 8, 'test': 2}
        """

        rows = {"train": train, "validation": validation, "test": test}
        splits = {k: Split({"x": torch.as_tensor(v)}) for k, v in rows.items() if v is not None}

        return cls(name, lambda: splits, **options)

    def __repr__(self) -> str:
        return f"Data({self.name!r}, binarization={self.binarization!r})"

    def __getitem__(self, split: str) -> Split:
        splits = self._prepared[0]

        if split not in splits:
            names = ", ".join(splits)
            raise ValueError(f"data set {self.name!r} has no split {split!r}: there are {names}.")

        return splits[split]

    def __iter__(self) -> Iterator[str]:
        return iter(self.counts)

    def __contains__(self, split: object) -> bool:
        return split in self.counts

    @cached_property
    def _prepared(self) -> tuple[dict[str, Split], Affine | None]:
        splits, scaling = self._prepare(self.name, self._read())

        if self._stored is not None and fingerprint(splits) != self._stored["hash"]:
            raise ValueError(
                f"data set {self.name!r} is not the one that the run was made with (its hash "
                f"differs): restore the original data and the run's seed and options."
            )

        return splits, scaling

    def _read(self) -> Mapping[str, Split]:
        try:
            return self._load()
        except (ValueError, OSError, ImportError) as error:
            if self._stored is None:
                raise

            raise ValueError(
                f"the rows of data set {self.name!r} are not available here "
                f"({str(error).rstrip('.')}): restore its source, or ask for what needs no data."
            ) from error

    @cached_property
    def _facts(self) -> Mapping[str, Any]:
        if self._stored is not None:
            return self._stored

        facts = describe(*self._prepared, grey=self.binarization == "dynamic")
        facts["log_volume"] += self._log_volume

        if self._class_names is not None:
            facts["class_names"] = list(self._class_names)

        sites = self["train"].sites
        facts["missing"] = any(bool(s.sites["x"].isnan().any()) for s in self._prepared[0].values())

        if "exposure" in sites:
            facts["exposure"] = float(sites["exposure"].median())

        return facts

    def exposure_of(self, x: Tensor) -> Tensor | None:
        r"""The exposures of rows of `x` that came without: their totals, where these are it."""

        return total(x) if self._prepare.totals else None

    def draw(
        self, sites: Mapping[str, Tensor], *, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        r"""Stored rows of the training split to float32, binarized afresh under `dynamic`.

        It draws on the rows' device, from torch's global generator by default. It never looks at
        a value, hence it can be captured.
        """

        out = {name: site.float() for name, site in sites.items()}

        if self.binarization == "dynamic":
            p = probability(sites["x"])
            out["x"] = (torch.rand(p.shape, generator=generator, device=p.device) < p).float()

        return out

    def batch(
        self,
        split: str,
        index: Tensor | None = None,
        *,
        device: torch.device | str = "cpu",
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        r"""Rows of a split as the programs' keyword arguments, and their `index`.

        Arguments:
            split: The name of the split.
            index: The rows, all of them by default.
            device: Where the batch goes.
            generator: The generator of dynamic binarization, torch's global one by default.
        """

        source = self[split]
        rows = torch.arange(len(source))

        if index is not None:
            rows = rows[index.cpu()]

        sites = {name: site[rows].to(device) for name, site in source.sites.items()}

        if split == "train":
            sites = self.draw(sites, generator=generator)

        return {**{k: v.float() for k, v in sites.items()}, "index": rows.to(device)}

    def examples(self, *, complete: bool = True) -> Tensor:
        r"""Training rows of `x` as float32, for parts that start at data, such as pseudo-inputs.

        Missing values are those of the mean, unless `complete` is false. Under dynamic
        binarization they are the grey values, without noise. Inside
        :func:`ppl_vae.data.stored`, where rows may be absent and saved weights take their place,
        they are copies of the mean.
        """

        if self._stored is not None:
            return self.mean.expand(2, *self.event_shape)

        x = self["train"].sites["x"]

        x = probability(x) if self.binarization == "dynamic" else x.float()

        return torch.where(x.isnan(), self.mean, x) if complete and self.missing else x

    def summary(self) -> dict[str, Any]:
        r"""All facts as plain values, for a file; :func:`ppl_vae.data.stored` takes them back."""

        return {
            "name": self.name,
            "protocol": self.protocol,
            "binarization": self.binarization,
            **copy.deepcopy({key: self._facts[key] for key in FACTS}),
            **({} if self.exposure is None else {"exposure": self.exposure}),
            **({"missing": True} if self.missing else {}),
        }
