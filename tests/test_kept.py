r"""Laws of blocks that are kept: an evaluation that was stopped goes on as if it had not been."""

from __future__ import annotations

from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from program_cases import PROGRAMS
from torch import Tensor

from ppl_vae.evaluation import Evidence, log_evidence
from ppl_vae.evaluation.kept import Kept
from ppl_vae.guides import Amortized
from ppl_vae.models import Linear


class Stopped(Exception):
    r"""Somebody pulls the plug."""


def programs(rows: int) -> tuple[Linear, Amortized, Tensor]:
    model = Linear(5, 2)
    return model, Amortized(model.posterior), model(n=rows).detach()


def same(a: Evidence, b: Evidence) -> bool:
    pairs = zip(a.arrays().values(), b.arrays().values(), strict=True)
    return all(np.array_equal(x, y, equal_nan=True) for x, y in pairs)


OPTIONS = {
    "plain": {},
    "fx": {"compile": "fx"},
    "defensive": {"defensive": 0.2},
    "sobol": {"draws": "sobol"},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_it_goes_on(name: str, tmp_path: Path) -> None:
    r"""To the bit what an uninterrupted one finds, and no block is computed twice."""
    model, guide, x = programs(120)
    options: dict[str, Any] = {"particles": 64, "seed": 2, **OPTIONS[name]}
    whole = log_evidence(model, guide, x, **options)
    # A plain dictionary, or files.
    kept: MutableMapping[int, Any] = {} if name == "defensive" else Kept(tmp_path, "key")

    def stop(count: int) -> None:
        if len(kept) == 2:
            raise Stopped

    with pytest.raises(Stopped):
        log_evidence(model, guide, x, **options, kept=kept, progress=stop)
    assert sorted(kept) == [0, 1]

    told: list[int] = []
    if name == "plain":
        calls = model.forward
        model.forward = lambda x=None, *, n=1: (told.append(len(x)), calls(x, n=n))[1]  # type: ignore
    seen: list[int] = []
    again = log_evidence(model, guide, x, **options, kept=kept, progress=seen.append)
    assert same(again, whole) and seen == [50, 50, 20] and sorted(kept) == [0, 1, 2]
    # The draws of the last block alone.
    assert told.count(50) == 0 and (name != "plain" or told.count(20) > 0)
    assert same(log_evidence(model, guide, x, **options, kept=kept), whole)


def test_what_is_not_of_these_data_is_refused() -> None:
    model, guide, x = programs(60)
    kept: dict[int, Any] = {}
    log_evidence(model, guide, x, 10, kept=kept)
    with pytest.raises(ValueError, match=r"Block 1 that was kept is not of 5 data"):
        log_evidence(model, guide, x[:55], 10, kept=kept)


def test_files(tmp_path: Path) -> None:
    r"""A mapping as any other; tensors come back to the bit, NaN and infinity too."""
    kept = Kept(tmp_path / "deep" / "down", "one")
    assert not kept and list(kept) == [] and kept.get(0) is None
    block = {
        "a": torch.tensor([float("nan"), -torch.inf, 1 / 3]),
        "b": torch.tensor([[1 / 3]], dtype=torch.float64),
        "c": torch.tensor([3]),
    }
    kept[10], kept[2] = block, {"a": torch.zeros(0)}
    assert list(kept) == [2, 10] and len(kept) == 2 and 10 in kept and 3 not in kept
    for name, value in Kept(tmp_path / "deep" / "down", "one")[10].items():
        assert value.dtype == block[name].dtype
        assert torch.equal(value.nan_to_num(7), block[name].nan_to_num(7))
    del kept[2]
    assert list(kept) == [10]
    for missing in (kept.__getitem__, kept.__delitem__):
        with pytest.raises(KeyError):
            missing(2)
    with pytest.raises(ValueError, match=r"may be called 'key'"):
        kept[0] = {"key": torch.zeros(1)}


def test_other_keys_are_not_seen(tmp_path: Path) -> None:
    r"""Nor are files that took another key's name, and clearing leaves them."""
    one, two = Kept(tmp_path, "seed 0"), Kept(tmp_path, "seed 1")
    one[0] = {"a": torch.zeros(2)}
    assert 0 not in two and len(two) == 0
    two.path(0).write_bytes(one.path(0).read_bytes())
    assert 0 not in two
    two.clear()
    assert 0 in one
    one.clear()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 half", b"not a file of arrays"])
def test_damaged_files_count_as_absent(tmp_path: Path, content: bytes) -> None:
    model, guide, x = PROGRAMS["linear"]()
    kept = Kept(tmp_path, "key")
    whole = log_evidence(model, guide, x, 10, kept=kept)
    kept.path(0).write_bytes(content)
    assert 0 not in kept
    assert same(log_evidence(model, guide, x, 10, kept=kept), whole) and 0 in kept


def test_no_pickle(tmp_path: Path) -> None:
    kept = Kept(tmp_path, "key")
    np.savez(kept.path(0), key=np.array("key"), a=np.array([{}], dtype=object))
    assert 0 not in kept
