r"""What a benchmark ran on, as a line of text."""

from __future__ import annotations

import os
import platform
from datetime import date
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import torch

__all__ = ["describe", "has_numpyro"]


def has_numpyro() -> bool:
    r"""Whether NumPyro and JAX are installed."""
    return all(find_spec(name) is not None for name in ("numpyro", "jax"))


def describe() -> str:
    r"""The device, the threads, the versions of what was measured, and the date."""
    threads = torch.get_num_threads()
    facts = [device(), f"{threads} torch thread{'s' * (threads > 1)}"]
    facts += [f"Python {platform.python_version()}"]
    facts += [f"{name} {version(name)}" for name in ("torch", "pyro-ppl")]

    if has_numpyro():
        # JAX may be installed for a CPU only, beside a PyTorch that finds a GPU.
        backend = import_module("jax").default_backend()
        facts += [f"numpyro {version('numpyro')}", f"jax {version('jax')} on {backend}"]

    return ", ".join([*facts, f"{date.today():%Y-%m-%d}"])


def device() -> str:
    r"""The processors, and the GPU if there is one."""
    # A container may use fewer cores than the machine has; not every system tells.
    told = hasattr(os, "sched_getaffinity")
    count = len(os.sched_getaffinity(0)) if told else os.cpu_count() or 1
    cores = f"{count} CPU core{'s' * (count > 1)} ({processor()})"
    return f"{torch.cuda.get_device_name()}, {cores}" if torch.cuda.is_available() else cores


def processor() -> str:
    r"""The model of the processor where the system tells it, else its architecture."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    named = [model for model in models if model not in ("", "unknown")]
    return named[0] if named else platform.machine()
