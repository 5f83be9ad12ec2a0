r"""Files that are whole or absent: a crash, a kill or a full disk never leaves half of one."""

from __future__ import annotations

import contextlib
import io
import json
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["WriteError", "sweep", "write_arrays", "write_bytes", "write_json", "write_text"]


class WriteError(OSError, ValueError):
    r"""A file cannot be written: the disk is full, say; a file of that name stays as it was."""


def write_bytes(path: Path | str, content: bytes) -> None:
    r"""Writes a file at once: to a temporary neighbour first, which then takes the name.

    Raises:
        WriteError: If it cannot be written; a file of that name stays as it was.
    """
    path = Path(path)
    neighbour = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")

    try:
        with open(neighbour, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(neighbour, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(neighbour)
        if isinstance(error, OSError):
            raise WriteError(
                f"{path} cannot be written ({error.strerror or error}); what was there before is "
                "kept."
            ) from error
        raise


def sweep(folder: Path) -> None:
    r"""Removes the temporary files that a killed process left in a folder."""
    for path in folder.glob(".*.tmp"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def write_text(path: Path | str, text: str) -> None:
    r"""Writes a text file at once; see :func:`write_bytes`."""
    write_bytes(path, text.encode())


def write_arrays(path: Path | str, arrays: Mapping[str, np.ndarray]) -> None:
    r"""Writes a .npz file at once; see :func:`write_bytes`."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    write_bytes(path, buffer.getvalue())


def write_json(path: Path | str, content: Any) -> None:
    r"""Writes a JSON file at once; see :func:`write_bytes`."""
    write_text(path, json.dumps(content, indent=2) + "\n")
