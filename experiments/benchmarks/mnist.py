r"""The results on MNIST under protocol C: trained, evaluated and printed.

Run it with ``python -m ppl_vae.experiments.benchmarks.mnist --root DIR``; about ten minutes a seed
on two cores. DIR holds the three files of the fixed binarization.
"""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

from ppl_vae.compare import groups, print_table
from ppl_vae.run import train


def main() -> None:
    parser = ArgumentParser(description="Re-makes the table of MNIST, protocol C.")
    parser.add_argument("--root", required=True, help="the folder of the .amat files")
    parser.add_argument("--out", type=Path, default=Path("runs/mnist"), help="a folder")
    parser.add_argument("--seeds", type=int, default=1, help="the number of runs")
    parser.add_argument("--epochs", type=int, default=250, help="the number of epochs of each")
    parser.add_argument("--particles", type=int, default=1000, help="particles of the evaluation")
    given = parser.parse_args()
    epochs = str(given.epochs)
    options = [
        *("--root", given.root, "--epochs", epochs),
        *("--scheduler", "CosineAnnealingLR", "--scheduler.T_max", epochs),
        *("--optimizer", "Adam", "--optimizer.lr", "0.002", "--optimizer.fused", "true"),
    ]

    for seed in range(given.seeds):
        folder = given.out / f"seed-{seed}"
        run = train("mnist", folder, [*options, "--seed", str(seed)], overwrite=True)
        run.evaluate("test", particles=given.particles)

    print_table(groups([given.out]), title="MNIST, fixed binarization")


if __name__ == "__main__":
    main()
