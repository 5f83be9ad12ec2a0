r"""The row of an epoch: its means, in nats per datum, and how it is judged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

__all__ = ["Row", "add", "criterion", "judged", "unscored"]

Row = dict[str, float]


def add(sums: dict[str, Tensor], n: int, /, **means: Tensor) -> None:
    r"""Adds the means over some data to sums over all, without waiting for the device.

    Arguments:
        sums: The sums so far by name, which are changed.
        n: The number of data.
        means: Their means.
    """
    for name, mean in means.items():
        total = sums.get(name)
        mean = mean.detach() if mean.device.type == "mps" else mean.detach().double()
        mean = n * mean.sum()
        sums[name] = mean if total is None else total + mean


def criterion(row: Row, by: str, moving: bool) -> Row:
    r"""What to add to the row of an epoch whose objective is not to be judged by a bound.

    Arguments:
        row: The row.
        by: As :attr:`ppl_vae.objectives.Objective.judged_by`.
        moving: Whether the objective follows a schedule, so that losses do not compare.
    """
    if by == "bound":
        return {}
    if by == "loss" and not moving:
        return {"criterion": -row.get("validation_loss", row["train_loss"])}

    return {"criterion": row["epoch"]}


def judged(row: Row) -> float:
    r"""The number by which an epoch is judged: of validation data, or of those of training without.

    It is the bound of the objective where that is tighter than the ELBO, as that of IWAE: a guide
    that is trained by one may well have a bad ELBO. Else the ELBO, or the loss where none is told.
    Objectives that are no bounds have a ``criterion`` of their own, see :func:`criterion`.
    """
    if "criterion" in row:
        return row["criterion"]

    for split in ("validation", "train"):
        for term, sign in (("bound", 1), ("elbo", 1), ("loss", -1)):
            if f"{split}_{term}" in row:
                return sign * row[f"{split}_{term}"]

    raise ValueError(f"The row has no loss: {row}.")


def unscored(rows: Iterable[Mapping[str, Any]]) -> bool:
    r"""Whether rows are of a guide without a density: of such there are reconstructions alone.

    Example:
        >>> unscored([{"epoch": 1, "train_reconstruction": -90.0}])
        True
        >>> unscored([{"epoch": 1, "train_reconstruction": -90.0, "train_elbo": -100.0}])
        False
    """
    told = {name.partition("_")[2] for row in rows for name in row}
    return "reconstruction" in told and "elbo" not in told
