"""What every test starts from: a fixed seed, an empty parameter store, default settings."""

import os
import random

# Tests are small: a second thread costs more than it gives, and much more beside other processes.
# It is read when torch is loaded, and handed down to subprocesses.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyro
import pytest
import torch
from long_cases import CASES, LONG

ROOT = Path(__file__).resolve().parent.parent


class Fresh:
    """What every test starts from; doctests of the package too, in a run that has this folder."""

    @pytest.fixture(autouse=True)
    def fresh_state(self) -> Iterator[None]:
        """Seeds every generator, empties Pyro's parameter store and puts global settings back."""
        settings, dtype = pyro.settings.get(), torch.get_default_dtype()
        # Fixtures of modules and sessions come before this one, and have to put back their own.
        assert all(on for name, on in settings.items() if name.startswith("validate_")), settings
        torch.manual_seed(0)
        random.seed(0)
        np.random.seed(0)
        pyro.clear_param_store()
        yield
        torch.set_default_dtype(dtype)
        pyro.settings.set(**settings)


def pytest_configure(config: pytest.Config) -> None:
    # Fixtures of this file are for its folder alone, those of a plugin for doctests, too.
    config.pluginmanager.register(Fresh(), "fresh")


@pytest.hookimpl(tryfirst=True)  # before cases are chosen by their marks
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks long cases as slow, and keeps what there is for the law that each of them exists."""
    found: dict[str, set[str]] = {}
    for item in items:
        name, case = item.nodeid.removeprefix("tests/").partition("[")[::2]
        found.setdefault(name, set()).add(case[:-1])
        if case[:-1] in LONG.get(name, ()):
            item.add_marker("slow")

    config.stash[CASES] = found


@pytest.fixture
def float64(fresh_state: None) -> None:
    """Double precision by default, for the tests whose point is exactness."""
    torch.set_default_dtype(torch.float64)


@pytest.fixture(scope="session")
def shared_data() -> Callable[..., Path]:
    """The path of a real data set, or a skip with the reason where it is absent.

    ``shared_data("MNIST")`` is looked up in the folder that the environment variable
    ``PPL_VAE_TEST_DATA`` names, by default ``shared/data`` beside the checkout.
    """
    folder = Path(os.environ.get("PPL_VAE_TEST_DATA") or ROOT.parent / "shared" / "data")

    def find(*parts: str) -> Path:
        path = folder.joinpath(*parts)
        if not path.exists():
            pytest.skip(f"needs the data {'/'.join(parts)}; PPL_VAE_TEST_DATA names its folder")
        return path

    return find
