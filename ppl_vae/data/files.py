r"""Where data files lie, and their bytes."""

from __future__ import annotations

__all__ = ["data_root", "find", "read_bytes"]

import gzip
import os
import zlib
from collections.abc import Iterable
from pathlib import Path


def data_root(root: str | os.PathLike[str] | None = None) -> Path:
    r"""The folder of data files: `root`, else `$PPL_VAE_DATA`, else `~/.cache/ppl_vae`.

    Example:
        >>> data_root("data").name
        'data'
    """

    if root is not None:
        return Path(root).expanduser()

    default = Path.home() / ".cache" / "ppl_vae"

    return Path(os.environ.get("PPL_VAE_DATA") or default).expanduser()


def find(folders: Iterable[Path], name: str) -> Path | None:
    r"""The first of `name` and `name.gz` that lies in one of the folders.

    Example:
        >>> find([Path("absent")], "data.amat") is None
        True
    """

    for folder in folders:
        for file in (folder / name, folder / f"{name}.gz"):
            if file.is_file():
                return file

    return None


def read_bytes(file: str | os.PathLike[str]) -> bytes:
    r"""The bytes of a file, unpacked where its name ends with `.gz`.

    Raises:
        ValueError: if the file is missing, unreadable, empty or truncated.

    Example:
        >>> read_bytes("absent.csv")
        Traceback (most recent call last):
            ...
        ValueError: there is no file 'absent.csv': check the path.
    """

    path = Path(file).expanduser()

    if not path.is_file():
        raise ValueError(f"there is no file '{path}': check the path.")

    try:
        content = path.read_bytes()

        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"'{path}' cannot be read ({error}): get the file again.") from error

    if not content.strip():
        raise ValueError(f"'{path}' is empty: it needs at least one row.")

    return content
