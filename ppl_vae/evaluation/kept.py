r"""Finished blocks of an evaluation in files, so that one that was stopped goes on."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..folder.atomic import write_arrays

__all__ = ["Kept"]

KEY = "key"
r"""The name under which a file holds the key that it is of."""


class Kept(MutableMapping[int, dict[str, Tensor]]):
    r"""Finished blocks by their numbers, each an ``.npz`` file in a folder.

    A file is whole or absent; one that is damaged counts as absent. Blocks of other keys may lie
    in the same folder: they are not seen.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> kept = Kept(folder, "importance, 5000 particles, seed 0")
        >>> kept[3] = {"log_evidence": torch.tensor([-1.5, -2.0])}
        >>> Kept(folder, kept.key)[3]["log_evidence"], list(kept), len(Kept(folder, "another"))
        (tensor([-1.5000, -2.0000]), [3], 0)
        >>> kept.clear()

    Arguments:
        folder: The folder, which is made when the first block is finished.
        key: All that determines the numbers: the method and its options, the seed, the data and
            the weights of the programs, or hashes of them.
    """

    def __init__(self, folder: Path | str, key: str) -> None:
        self.folder = Path(folder)
        self.key = key
        self.digest = hashlib.sha256(key.encode()).hexdigest()[:16]

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        try:
            # A file that is no archive, numpy would leave open.
            with self.path(number).open("rb") as file:
                arrays = dict(np.load(file, allow_pickle=False))
        except (OSError, ValueError, EOFError, zipfile.BadZipFile):
            raise KeyError(number) from None

        if str(arrays.pop(KEY, None)) != self.key:
            raise KeyError(number)

        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def __setitem__(self, number: int, block: Mapping[str, Tensor]) -> None:
        if KEY in block:
            raise ValueError(f"No tensor of a block may be called {KEY!r}; give it another name.")

        self.folder.mkdir(parents=True, exist_ok=True)
        arrays = {name: t.detach().cpu().numpy() for name, t in block.items()}
        write_arrays(self.path(number), {**arrays, KEY: np.array(self.key)})

    def __delitem__(self, number: int) -> None:
        try:
            self.path(number).unlink()
        except FileNotFoundError:
            raise KeyError(number) from None

    def __iter__(self) -> Iterator[int]:
        prefix = f"block-{self.digest}-"
        names = (path.stem.removeprefix(prefix) for path in self.folder.glob(f"{prefix}*.npz"))
        return iter(sorted(i for name in names if name.isdecimal() and (i := int(name)) in self))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def clear(self) -> None:
        r"""Removes the files of this key, damaged ones too."""
        for path in self.folder.glob(f"block-{self.digest}-*.npz"):
            path.unlink(missing_ok=True)

    def path(self, number: int) -> Path:
        r"""The file of a block."""
        return self.folder / f"block-{self.digest}-{number}.npz"
