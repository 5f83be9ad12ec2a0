r"""The demo: three priors of one variational auto-encoder, compared on handwritten digits.

Run it with ``make demo``, or ``python -m ppl_vae.experiments.demo [FOLDER]``.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ppl_vae.compare import groups, print_table
from ppl_vae.report import write_comparison
from ppl_vae.run import train

VARIANTS = {
    "standard normal prior": ["--prior", "StandardNormal"],
    "VampPrior": ["--prior", "Vamp", "--prior.components", "100"],
    "flow prior": ["--prior", "Flow"],
}
TRAINING = ["--epochs", "150", "--seed", "0"]
PARTICLES = 1000


def main(folder: Path) -> Path:
    r"""Trains and evaluates the variants into a folder; returns the path of the report."""
    for name, options in VARIANTS.items():
        print(f"training with a {name} ...", file=sys.stderr)
        run = train("digits", folder / name.replace(" ", "-"), [*options, *TRAINING], overwrite=True)
        run.evaluate("test", particles=PARTICLES)

    found = groups([folder / name.replace(" ", "-") for name in VARIANTS])
    print_table(found, title="Handwritten digits, binomial likelihood: 300 test images")
    return write_comparison(found, folder / "report.html", title="Three priors on handwritten digits")


if __name__ == "__main__":
    report = main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("runs/demo"))
    print(f"report: {report.resolve()}")
