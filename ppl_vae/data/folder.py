r"""A folder of images, with one folder per class inside it where there are classes."""

from __future__ import annotations

__all__ = ["folder"]

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .table import Table

_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
_GREY = ("1", "L", "LA")


def folder(path: str | Path) -> Table:
    r"""Reads all images below a folder to bytes of shape :math:`(n, C, H, W)`, in name order.

    Pictures are grey, :math:`C = 1`, if all files are, and else :math:`C = 3`. If every image
    lies in a folder of its class, the names of these folders are the labels.

    Raises:
        ValueError: if there is no image, one cannot be read, or their sizes differ.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as path:
        ...     for kind in ("cat", "dog"):
        ...         Path(path, kind).mkdir()
        ...         Image.new("L", (4, 3), 7).save(Path(path, kind, "0.png"))
        ...     table = folder(path)
        >>> table.values.shape, table.labels.tolist()
        ((2, 1, 3, 4), ['cat', 'dog'])
    """

    top = Path(path).expanduser()
    files = sorted(p for p in top.rglob("*") if p.suffix.lower() in _ENDINGS and p.is_file())

    if not files:
        raise ValueError(f"folder '{top}' holds no image: it needs {', '.join(_ENDINGS)} files.")

    values = _stack(files)
    classes = [file.relative_to(top).parts[0] for file in files]

    if any(file.parent == top for file in files):
        return Table(values)

    return Table(values, np.array(classes))


def _stack(files: Sequence[Path]) -> NDArray[Any]:
    modes, sizes = zip(*map(_look, files), strict=True)

    for file, size in zip(files, sizes, strict=True):
        if size != sizes[0]:
            raise ValueError(
                f"image '{file}' is {size[0]}x{size[1]} and '{files[0]}' is "
                f"{sizes[0][0]}x{sizes[0][1]} pixels: bring all to one size."
            )

    mode = "L" if all(m in _GREY for m in modes) else "RGB"
    pixels = np.stack([_pixels(file, mode) for file in files])

    return pixels[:, None] if mode == "L" else pixels.transpose(0, 3, 1, 2)


def _look(file: Path) -> tuple[str, tuple[int, int]]:
    from PIL import Image

    try:
        with Image.open(file) as image:
            mode, size = image.mode, image.size
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"'{file}' is not a readable image: remove or replace it.") from error

    if mode[0] in "IF":
        raise ValueError(f"image '{file}' has more than 8 bits per pixel: convert it to 8 bits.")

    return mode, size


def _pixels(file: Path, mode: str) -> NDArray[np.uint8]:
    from PIL import Image

    try:
        with Image.open(file) as image:
            return np.asarray(image.convert(mode), dtype=np.uint8)
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"'{file}' is a broken image: remove or replace it.") from error
