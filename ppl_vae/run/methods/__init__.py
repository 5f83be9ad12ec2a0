r"""Ways of evaluating a run, one per file.

Each is a function of a :class:`Task`, the run and its data, and of options of its own, and returns
the record that it filed. To write a new one, write such a function, take the data from
``task.batch``, end with ``task.filed(summary, arrays)``, and name it in :data:`METHODS`.
"""

from collections.abc import Callable
from typing import Any

from .ais import ais
from .bdmc import bdmc
from .calibration import calibration
from .gap import gap
from .importance import importance
from .latent import latent
from .samples import samples
from .task import Task

__all__ = ["METHODS", "UNGUIDED", "Task"]

METHODS: dict[str, Callable[..., dict[str, Any]]] = {
    "importance": importance,
    "ais": ais,
    "bdmc": bdmc,
    "gap": gap,
    "calibration": calibration,
    "latent": latent,
    "samples": samples,
}
r"""The ways by name, as on the command line."""

UNGUIDED = "ais", "bdmc", "samples"
r"""Those that can do without a guide that has a density."""
