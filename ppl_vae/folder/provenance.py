r"""Where a run comes from: versions, commit, device."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from pathlib import Path
from typing import Any

import torch

__all__ = ["provenance"]

PACKAGES = ("ppl_vae", "torch", "pyro-ppl", "zuko", "numpy", "scikit-learn")


def provenance(device: torch.device) -> dict[str, Any]:
    r"""Versions of what matters, the commit of this library where it is a clone, and the device.

    Example:
        >>> sorted(provenance(torch.device("cpu")))
        ['commit', 'device', 'platform', 'threads', 'versions']
    """
    versions = {"python": platform.python_version()}

    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"

    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return {
        "versions": versions,
        "commit": _commit(),
        "device": f"{device} ({name})",
        "platform": platform.platform(),
        "threads": torch.get_num_threads(),
    }


def _commit() -> str | None:
    folder = Path(__file__).resolve().parent.parent

    # Only a clone of this library counts, not a repository that happens to hold an installed one.
    if not (folder.parent / ".git").exists():
        return None

    try:
        git = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40"]
        return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
