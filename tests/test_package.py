"""What users install: sdist -> wheel -> a clean environment -> import.

The clean environment borrows the installed dependencies through a .pth file, and the build runs
without isolation, so nothing is downloaded.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = "models", "guides", "experiments"


class Package(NamedTuple):
    sdist: Path
    wheel: Path
    env: Path
    """The clean environment, in which the wheel is installed."""

    @property
    def python(self) -> Path:
        return self.env / ("Scripts" if os.name == "nt" else "bin") / "python"


def run(*command: str | Path, cwd: Path) -> str:
    """The standard output of a command, which must succeed."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, f"{command} failed:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    tmp = tmp_path_factory.mktemp("package")
    source, dist, env = tmp / "source", tmp / "dist", tmp / "env"
    source.mkdir()
    for name in ("ppl_vae", *PROGRAMS, "pyproject.toml", "README.md", "LICENSE"):
        if (ROOT / name).is_dir():
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=ignore)
        else:
            shutil.copy(ROOT / name, source / name)

    # The wheel is built from the unpacked sdist, as a package index would.
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", dist, source, cwd=tmp)
    (sdist,), (wheel,) = dist.glob("*.tar.gz"), dist.glob("*.whl")

    run(sys.executable, "-m", "venv", "--without-pip", env, cwd=tmp)
    made = Package(sdist, wheel, env)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", made.python)
    run(*pip, "install", "--quiet", "--no-index", "--no-deps", wheel, cwd=tmp)

    # Last, or pip would see the ppl_vae that is installed there.
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(run(made.python, "-I", "-c", where, cwd=tmp).strip())
    borrowed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (site / "borrowed.pth").write_text("\n".join(sorted(borrowed)) + "\n")
    return made


def modules(folder: str) -> set[str]:
    """The files of a top-level folder, by their path in the package."""
    return {
        f"ppl_vae/{path.relative_to(ROOT).as_posix()}" for path in (ROOT / folder).rglob("*.py")
    }


@pytest.mark.parametrize("folder", PROGRAMS)
def test_linked_folders_are_in_sdist_and_wheel(package: Package, folder: str) -> None:
    with tarfile.open(package.sdist) as archive:
        files = {m.name.partition("/")[2] for m in archive.getmembers() if m.isfile()}
    assert modules(folder) and modules(folder) <= files

    with zipfile.ZipFile(package.wheel) as archive:
        assert modules(folder) <= set(archive.namelist())


def test_wheel_holds_the_package_and_nothing_else(package: Package) -> None:
    with zipfile.ZipFile(package.wheel) as archive:
        names = archive.namelist()
    top = {name.partition("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {"ppl_vae"}
    assert "ppl_vae/py.typed" in names


def test_import_from_the_clean_environment(package: Package, tmp_path: Path) -> None:
    code = "import ppl_vae.models.vae as vae; print(vae.__file__)"
    file = Path(run(package.python, "-I", "-c", code, cwd=tmp_path).strip())
    assert file.is_relative_to(package.env) and file.parts[-3:] == ("ppl_vae", "models", "vae.py")
    assert list(package.python.parent.glob("ppl-vae*"))


@pytest.mark.parametrize("folder", PROGRAMS)
def test_top_level_folder_is_no_module(package: Package, tmp_path: Path, folder: str) -> None:
    code = f"import importlib.util; print(importlib.util.find_spec({folder!r}))"
    assert run(package.python, "-I", "-c", code, cwd=tmp_path).strip() == "None"
