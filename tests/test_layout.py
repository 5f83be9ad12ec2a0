"""The laws of the repository: who imports whom, and what may be written where.

They are read off the syntax trees, so that a breach is found without being run. A file of
`models`, `guides` or `experiments` goes by its path in the package, such as `models/vae.py`.
"""

import ast
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

import pytest
from long_cases import CASES, LONG

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = "models", "guides", "experiments"

# Groups of modules.
LANGUAGE = {
    "ppl_vae.conditional",
    "ppl_vae.distributions",
    "ppl_vae.families",
    "ppl_vae.networks",
    "ppl_vae.priors",
    "ppl_vae.program",
}
TRAINING = {
    "ppl_vae.device",
    "ppl_vae.fit",
    "ppl_vae.nonfinite",
    "ppl_vae.optimizer",
    "ppl_vae.parameters",
    "ppl_vae.player",
    "ppl_vae.precision",
    "ppl_vae.predict",
    "ppl_vae.progress",
    "ppl_vae.steps",
    "ppl_vae.svi",
}
FOLDERS = {
    "ppl_vae.folder.atomic",
    "ppl_vae.catalogue",
    "ppl_vae.folder.checkpoint",
    "ppl_vae.compare",
    "ppl_vae.folder.create",
    "ppl_vae.folder.freeze",
    "ppl_vae.folder.gallery",
    "ppl_vae.options",
    "ppl_vae.folder.provenance",
    "ppl_vae.folder.recipe",
    "ppl_vae.folder.saver",
    "ppl_vae.folder.userfile",
}
WEIGHTS = {"ppl_vae.modules", "ppl_vae.weights"}
ENGINE = (
    WEIGHTS
    | TRAINING
    | {
        "ppl_vae.data",
        "ppl_vae.evaluation",
        "ppl_vae.legality",
        "ppl_vae.objectives",
        "ppl_vae.staging",
        "ppl_vae.svi",
    }
)
RUNS = FOLDERS | {
    "ppl_vae.arviz",
    "ppl_vae.experiment",
    "ppl_vae.fit_prior",
    "ppl_vae.plots",
    "ppl_vae.report",
    "ppl_vae.run",
}
DISTRIBUTIONS = {"torch", "pyro.distributions"}
PYRO = {"torch", "pyro"}

# File -> what it may import besides the standard library. All patterns that
# a file matches add up; a file that matches none is refused, so a new one needs a line here.
ALLOWED: dict[str, set[str]] = {
    "__init__.py": LANGUAGE | ENGINE | RUNS,
    "__main__.py": {"ppl_vae.cli"},
    # the language
    "distributions/*": DISTRIBUTIONS | {"ppl_vae.distributions"},
    "families/*": DISTRIBUTIONS | {"ppl_vae.families", "ppl_vae.distributions"},
    "families/*flow*": {"zuko", "ppl_vae.restoring"},  # as zuko changes a setting of torch
    "families/implicit.py": {"ppl_vae.networks"},
    "networks/*": DISTRIBUTIONS | {"ppl_vae.networks"},
    "networks/*flow*": {"zuko"},
    "networks/pretrained.py": {"safetensors", "ppl_vae.data.stored"},
    "conditional.py": DISTRIBUTIONS | {"ppl_vae.families"},
    "priors/*": DISTRIBUTIONS | {"ppl_vae.priors", "ppl_vae.families", "ppl_vae.distributions"},
    "priors/autoregressive.py": {"zuko", "ppl_vae.restoring"},
    "priors/*flow*": {"zuko"},
    "program.py": PYRO,
    "models/*": PYRO | LANGUAGE | {"ppl_vae.models"},
    "guides/*": PYRO | LANGUAGE | {"ppl_vae.guides"},
    "guides/semi_amortized.py": {"ppl_vae.weights"},  # refines by the model's density
    # the engine
    "restoring.py": {"torch"},
    "modules.py": {"torch", "ppl_vae.restoring"},
    "weights/*": PYRO
    | WEIGHTS
    | {"ppl_vae.distributions.measure", "ppl_vae.distributions.implicit.is_implicit"},
    "objectives/*": PYRO | WEIGHTS | {"ppl_vae.objectives"},
    "evaluation/refine*.py": {"ppl_vae.conditional", "ppl_vae.program"},
    "evaluation/kept.py": {"ppl_vae.folder.atomic"},
    "evaluation/*/*": {"sklearn"},
    "evaluation/*": PYRO | WEIGHTS | {"ppl_vae.evaluation", "ppl_vae.staging", "numpy", "scipy"},
    "staging/*": {"torch", "ppl_vae.restoring", "ppl_vae.staging"},
    "precision.py": {"torch"},
    "parameters.py": PYRO | WEIGHTS | {"ppl_vae.objectives"},
    "player.py": {"torch", "ppl_vae.objectives", "ppl_vae.staging"},
    "steps/*": PYRO
    | WEIGHTS
    | {"ppl_vae.objectives", "ppl_vae.player", "ppl_vae.staging", "ppl_vae.steps"},
    "device.py": {"torch"},
    "optimizer.py": PYRO,
    "nonfinite.py": PYRO | WEIGHTS,
    "legality.py": PYRO | WEIGHTS | {"ppl_vae.objectives"},
    "svi.py": PYRO | WEIGHTS | TRAINING | {"ppl_vae.objectives", "ppl_vae.staging"},
    "progress.py": {"rich"},
    "fit/*": PYRO | WEIGHTS | TRAINING | {"ppl_vae.objectives", "ppl_vae.data"},
    "fit/training.py": {"ppl_vae.evaluation.signal"},
    "fit/collapse.py": {"ppl_vae.evaluation.latent.site"},  # when a site counts as collapsed
    "predict.py": {"torch"} | WEIGHTS,
    "data/*": {"torch", "torchvision", "numpy", "scipy", "sklearn", "PIL", "ppl_vae.data"},
    # runs
    "experiment.py": PYRO | LANGUAGE | ENGINE,
    "folder/__init__.py": set(),
    "folder/atomic.py": {"numpy"},
    "folder/userfile.py": set(),
    "folder/provenance.py": {"torch"},
    "folder/recipe.py": {"torch", "ppl_vae.experiment", "ppl_vae.fit"},
    "catalogue.py": {"ppl_vae.folder.userfile", "ppl_vae.priors"},
    "options/*": {"jsonargparse", "ppl_vae.catalogue", "ppl_vae.options"},
    "options/options.py": {"torch", "yaml", "jsonargparse", "ppl_vae.networks"}
    | {"ppl_vae.precision", "ppl_vae.staging"}
    | FOLDERS,
    "folder/create.py": {"torch", "yaml"} | TRAINING | {"ppl_vae.experiment"} | FOLDERS,
    "folder/checkpoint.py": {"torch", "safetensors"} | ENGINE | FOLDERS,
    "folder/freeze.py": {"torch", "ppl_vae.experiment", "ppl_vae.modules"},
    "folder/saver.py": ENGINE | FOLDERS,
    "fit_prior.py": RUNS | {"ppl_vae.modules", "ppl_vae.objectives"},
    "listing/*": PYRO
    | LANGUAGE
    | {"ppl_vae.catalogue", "ppl_vae.legality", "ppl_vae.listing", "ppl_vae.objectives"},
    "folder/gallery.py": {"torch", "ppl_vae.plots", "ppl_vae.predict"},
    "compare/*": RUNS | {"rich", "numpy", "scipy"},
    "compare/table.py": {"ppl_vae.evaluation.judgement"},  # from which share on k-hat matters
    "posterior/*": PYRO
    | WEIGHTS
    | {"numpy", "ppl_vae.evaluation", "ppl_vae.posterior", "ppl_vae.run"},
    "arviz.py": {"arviz", "ppl_vae.posterior", "ppl_vae.run"},
    "run/*": PYRO | LANGUAGE | ENGINE | RUNS | {"numpy", "yaml"},
    "drawing/*": {"torch", "numpy", "matplotlib", "ppl_vae.fit", "ppl_vae.drawing"},
    "drawing/verdict.py": {"ppl_vae.evaluation.judgement"},  # of records without one
    "plots.py": ENGINE
    | RUNS
    | {"ppl_vae.drawing"}
    | {"torch", "torchvision", "numpy", "matplotlib", "sklearn"},
    "report.py": ENGINE
    | RUNS
    | {"ppl_vae.drawing", "ppl_vae.folder.atomic"}
    | {"torch", "numpy", "matplotlib"},
    "cli/*": PYRO | {"ppl_vae", "numpy", "jsonargparse", "rich", "yaml"},
    "experiments/*": PYRO
    | {"ppl_vae", "torchvision", "zuko", "numpy", "scipy", "sklearn", "matplotlib", "rich"}
    | {"jsonargparse"},
}

# What is slow to load, or may fail to, is imported inside functions, except in these files.
LAZY: dict[str, tuple[str, ...]] = {
    "arviz": (),
    "torchvision": (),
    "matplotlib": ("plots.py", "report.py"),
    "sklearn": ("data/*",),
    "scipy": ("data/*", "plots.py", "report.py"),
    "jsonargparse": ("cli/*", "options/*"),
    "rich": ("cli/*", "experiments/benchmarks/*"),
}

# Names that may be written only in these files.
CONFINED: dict[str, tuple[str, ...]] = {
    "pyro.sample": ("models/*", "guides/*"),
    "pyro.plate": ("models/*", "guides/*", "weights/traces.py"),
    ".to_event": ("families/*", "priors/*", "models/linear.py"),  # linear: its own exact Normal
}

TOP_LEVEL = {
    *{"ppl_vae", "models", "guides", "experiments", "tests", "pyproject.toml"},
    *{"README.md", "CHANGELOG.md", "BENCHMARKS.md", "CATALOGUE.md", "LICENSE"},
    *{"Makefile", "constraints.txt"},
    *{"MANIFEST.in", "docs", ".ci", ".git", ".gitignore", ".gitattributes", ".github"},
}


class Module(NamedTuple):
    file: str
    """Its path in the package: ``families/normal.py``."""
    tree: ast.Module

    def matches(self, patterns: tuple[str, ...]) -> bool:
        return any(fnmatch(self.file, pattern) for pattern in patterns)

    @property
    def package(self) -> list[str]:
        return ["ppl_vae", *Path(self.file).parts[:-1]]


def modules(root: Path) -> Iterator[Module]:
    """Every module of the package, the linked folders under their own names."""
    for folder in ("ppl_vae", *PROGRAMS):
        for path in sorted((root / folder).rglob("*.py")):
            file = path.relative_to(root / "ppl_vae" if folder == "ppl_vae" else root)
            if folder in PROGRAMS or file.parts[0] not in PROGRAMS:  # not through the links
                yield Module(file.as_posix(), ast.parse(path.read_text(encoding="utf-8")))


def imported(module: Module, node: ast.AST) -> Iterator[tuple[str, str]]:
    """The absolute name of what an import statement imports, and the local name it binds."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.name, alias.asname or alias.name.partition(".")[0]
    elif isinstance(node, ast.ImportFrom):
        up = module.package[: len(module.package) + 1 - node.level] if node.level else []
        prefix = ".".join([*up, *(node.module or "").split(".")]).strip(".")
        for alias in node.names:
            yield f"{prefix}.{alias.name}", alias.asname or alias.name


def imports(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        for name, _ in imported(module, node):
            yield name


def at_import_time(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes that run when the module is imported: function bodies and type checks do not."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from at_import_time(node)


def within(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix + ".")


def layers(root: Path) -> Iterator[str]:
    """A module imports from the layers below it alone."""
    for module in modules(root):
        layer = [allowed for pattern, allowed in ALLOWED.items() if module.matches((pattern,))]
        if not layer:
            yield f"{module.file} has no layer: give it one in ALLOWED"
            continue
        below = sys.stdlib_module_names.union(*layer)
        for name in imports(module):
            if not any(within(name, prefix) for prefix in below):
                yield f"{module.file} may not import {name}"


def independence(root: Path) -> Iterator[str]:
    """The language and the engine import no program, and models and guides not each other."""
    for module in modules(root):
        folder = module.package[1] if len(module.package) > 1 else ""
        banned = {"models": ["guides", "experiments"], "guides": ["models", "experiments"]}
        for other in banned.get(folder, [] if folder == "experiments" else PROGRAMS):
            for name in imports(module):
                if within(name, f"ppl_vae.{other}"):
                    yield f"{module.file} may not import {name}"


def one_name(root: Path) -> Iterator[str]:
    """The linked folders are imported as ppl_vae.models, never as models."""
    for module in modules(root):
        for name in imports(module):
            if any(within(name, folder) for folder in PROGRAMS):
                yield f"{module.file} imports {name}: say ppl_vae.{name}"


def laziness(root: Path) -> Iterator[str]:
    """What is slow to load is loaded by the function that needs it."""
    for module in modules(root):
        for node in at_import_time(module.tree):
            for name, _ in imported(module, node):
                for heavy, files in LAZY.items():
                    if within(name, heavy) and not module.matches(files):
                        yield f"{module.file} may import {heavy} only inside a function"


def names(module: Module) -> Iterator[str]:
    """The dotted names that a module writes, with its imports resolved, and its attributes."""
    bound = {
        local: local if isinstance(node, ast.Import) and within(name, local) else name
        for node in ast.walk(module.tree)
        for name, local in imported(module, node)
    }
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute):
            yield f".{node.attr}"
        if isinstance(node, ast.Attribute | ast.Name):
            head, dot, rest = ast.unparse(node).partition(".")
            yield bound.get(head, head) + dot + rest


def confinement(root: Path) -> Iterator[str]:
    """Sampling is the programs' business, and event dimensions that of families and priors."""
    for module in modules(root):
        written = set(names(module))
        for name, files in CONFINED.items():
            if name in written and not module.matches(files):
                yield f"{module.file} may not say {name}"


def one_class(root: Path) -> Iterator[str]:
    """A file of models or guides holds one program: one public class."""
    for module in modules(root):
        if module.matches(("models/*", "guides/*")) and not module.file.endswith("__init__.py"):
            classes = [node.name for node in module.tree.body if isinstance(node, ast.ClassDef)]
            public = [name for name in classes if not name.startswith("_")]
            if len(public) != 1:
                yield f"{module.file} must hold one public class, not {public}"


def top_level(root: Path) -> Iterator[str]:
    """The top level holds what the layout names, besides what git ignores."""
    lines = (root / ".gitignore").read_text().split()
    for path in sorted(root.iterdir()):
        ignored = any(fnmatch(path.name, line.strip("/")) for line in lines)
        if path.name not in TOP_LEVEL and not ignored:
            yield f"{path.name} does not belong to the top level"


def links(root: Path) -> Iterator[str]:
    """The three folders are linked into the package, relatively."""
    for folder in PROGRAMS:
        link = root / "ppl_vae" / folder
        if not link.is_symlink() or link.readlink() != Path("..", folder):
            yield f"ppl_vae/{folder} must be a symbolic link to ../{folder}"


Rule = Callable[[Path], Iterator[str]]

RULES: tuple[Rule, ...] = (
    layers,
    independence,
    one_name,
    laziness,
    confinement,
    one_class,
    top_level,
    links,
)

# A rule, and for each file that breaks it, what the rule has to say.
BROKEN: list[tuple[Rule, Mapping[str, str], str]] = [
    (layers, {"ppl_vae/new.py": ""}, "new.py has no layer"),
    (layers, {"ppl_vae/new/normal.py": ""}, "new/normal.py has no layer"),
    (layers, {"ppl_vae/families/a.py": "import pyro"}, "families/a.py may not import pyro"),
    (layers, {"ppl_vae/families/a.py": "from pyro import poutine"}, "import pyro.poutine"),
    (layers, {"ppl_vae/families/a.py": "from ..weights import K"}, "import ppl_vae.weights.K"),
    (layers, {"ppl_vae/families/a.py": "from .. import svi"}, "import ppl_vae.svi"),
    (layers, {"ppl_vae/families/a.py": "def f():\n    import zuko"}, "import zuko"),
    (layers, {"ppl_vae/networks/a.py": "import torchvision"}, "import torchvision"),
    (layers, {"ppl_vae/weights/a.py": "import ppl_vae"}, "weights/a.py may not import ppl_vae"),
    (layers, {"models/a.py": "import ppl_vae.svi"}, "models/a.py may not import ppl_vae.svi"),
    (independence, {"ppl_vae/cli/a.py": "import ppl_vae.models.vae"}, "import ppl_vae.models.vae"),
    (
        independence,
        {"ppl_vae/cli/a.py": "from .. import experiments"},
        "import ppl_vae.experiments",
    ),
    (independence, {"models/a.py": "from ppl_vae.guides import b"}, "import ppl_vae.guides.b"),
    (independence, {"guides/a.py": "from ..models.b import C"}, "import ppl_vae.models.b.C"),
    (one_name, {"experiments/a.py": "from models.vae import VAE"}, "say ppl_vae.models.vae.VAE"),
    (laziness, {"ppl_vae/data/a.py": "import torchvision.datasets"}, "only inside a function"),
    (laziness, {"ppl_vae/svi.py": "if 1:\n    import rich"}, "svi.py may import"),
    (laziness, {"experiments/a.py": "class A:\n    import sklearn"}, "import sklearn only"),
    (confinement, {"ppl_vae/svi.py": "import pyro\npyro.sample('z', d)"}, "say pyro.sample"),
    (confinement, {"ppl_vae/svi.py": "import pyro as p\np.plate('z', 3)"}, "say pyro.plate"),
    (
        confinement,
        {"ppl_vae/weights/a.py": "from pyro import sample as s\ns(1)"},
        "say pyro.sample",
    ),
    (confinement, {"guides/a.py": "f(0).to_event(1)"}, "guides/a.py may not say .to_event"),
    (one_class, {"models/a.py": "class A: ...\nclass B: ..."}, "not ['A', 'B']"),
    (one_class, {"guides/a.py": "class _A: ..."}, "not []"),
    (top_level, {"scripts/a.py": ""}, "scripts does not belong to the top level"),
    (links, {"ppl_vae/a.py": ""}, "ppl_vae/models must be a symbolic link"),
]

# What the rules let pass.
SOUND: dict[str, str] = {
    "ppl_vae/__init__.py": "from .families import Normal\nfrom .svi import SVI",
    "ppl_vae/families/a.py": "import pyro.distributions as dist\nfrom .b import B\ny.to_event(1)",
    "ppl_vae/families/flow.py": "import math\nimport zuko\nfrom pyro.distributions import Normal",
    "ppl_vae/data/a.py": "import sklearn\ndef f():\n    from torchvision import datasets",
    "ppl_vae/weights/traces.py": "import pyro\nwith pyro.plate('particles', 3): sample(4)",
    "ppl_vae/cli/a.py": "import jsonargparse\nfrom ppl_vae import run\nfrom ..svi import fit",
    "models/a.py": "from pyro import sample\nfrom ..conditional import C\nclass A:\n    sample(1)",
    "guides/a.py": "import pyro\nclass A: ...\nclass _B: ...\ndef f(): pyro.plate('data', 3)",
    "experiments/a.py": "from ppl_vae.models.vae import VAE\nfrom ppl_vae.guides import b",
    "tests/test_a.py": "import whatever",
    ".venv/x.py": "import whatever",
}


def make_tree(root: Path, files: Mapping[str, str]) -> Path:
    for name, source in {".gitignore": "/.venv/\n", **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(source)
    return root


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_repository_obeys(rule: Rule) -> None:
    assert not list(rule(ROOT)), rule.__doc__


@pytest.mark.parametrize(("rule", "files", "message"), BROKEN)
def test_rule_notices(rule: Rule, files: Mapping[str, str], message: str, tmp_path: Path) -> None:
    assert message in "\n".join(rule(make_tree(tmp_path, files)))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule_lets_pass(rule: Rule, tmp_path: Path) -> None:
    make_tree(tmp_path, SOUND)
    for folder in PROGRAMS:
        (tmp_path / "ppl_vae" / folder).symlink_to(Path("..", folder))
    assert not list(rule(tmp_path))


def test_every_rule_is_tried() -> None:
    assert {rule for rule, _, _ in BROKEN} == set(RULES)


def test_importing_is_light() -> None:
    r"""What is slow to load is loaded by whom it serves."""
    code = "import ppl_vae, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    heavy = {"torchvision", "matplotlib", "sklearn", "zuko", "torch._inductor.compile_fx", "jax"}
    assert not heavy & set(done.stdout.split())


def test_every_module_imports_without_torchvision() -> None:
    code = """
import importlib, pkgutil, sys
sys.modules["torchvision"] = None  # as where it cannot load
import ppl_vae
for module in pkgutil.walk_packages(ppl_vae.__path__, "ppl_vae."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
print(sorted(name for name in sys.modules if name.startswith("ppl_vae.")))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "ppl_vae.models.vae" in done.stdout


def test_long_cases_exist(request: pytest.FixtureRequest) -> None:
    r"""Of the files that were collected, as far as they were collected as a whole."""
    config = request.config
    if config.option.lf or any("::" in argument for argument in config.args):
        pytest.skip("a part of the tests was asked for")

    found = config.stash[CASES]
    files = {name.partition("::")[0] for name in found}
    gone = {
        name: set(cases) - found.get(name, set())
        for name, cases in LONG.items()
        if name.partition("::")[0] in files
    }
    assert not any(gone.values()), gone
