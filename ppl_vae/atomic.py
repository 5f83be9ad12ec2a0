r"""Files that are whole or absent: a crash, a kill or a full disk never leaves half of one."""

from __future__ import annotations

import contextlib
import io
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["write_arrays", "write_bytes", "write_json", "write_text"]


def write_bytes(path: Path | str, content: bytes) -> None:
    r"""Writes a file at once: to a temporary neighbour first, which then takes the name.

    Raises:
        OSError: If it cannot be written; a file of that name stays as it was.
    """
    path = Path(path)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")

    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


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
