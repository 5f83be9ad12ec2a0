r"""The run that another took its weights from."""

from __future__ import annotations

from typing import Any

from ..folder import checkpoint
from ..folder.userfile import digest
from .run import Run

__all__ = ["parent"]


def parent(source: Run, kept: int) -> dict[str, Any]:
    r"""What the provenance of a new run tells of the run whose weights it keeps.

    Arguments:
        source: The run that the weights come from.
        kept: The number of its parameters that the new run keeps as they are.

    Returns:
        The name of its folder (where it lies may change, and is nobody's business), the file of
        weights with its hash and the epoch that they are of, how it was trained, how long in
        epochs and, with the runs before it, in seconds; and its own parent, if it has one.
    """
    folder = source.dir.resolve()
    path = source.dir / "checkpoints" / f"{source.weights}.safetensors"
    told = source.provenance
    before = told.get("parent")
    return {
        # A seed's folder lies in that of its variant.
        "run": "/".join(folder.parts[-2:] if folder.name.startswith("seed-") else [folder.name]),
        "weights": path.name,
        "sha256": digest(path),
        "epoch": checkpoint.read(path)[1]["epoch"],
        "epochs": len(source.history),
        "seconds": told.get("seconds", 0.0) + (before or {}).get("seconds", 0.0),
        "kept": kept,
        "objective": source.config["options"].get("objective"),
        "training": told.get("training"),
        "parent": before,
    }
