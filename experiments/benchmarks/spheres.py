r"""Is a sphere a better latent space than a plane, on MNIST?

Run it with ``python -m ppl_vae.experiments.benchmarks.spheres --root DIR --seeds 3``. A von
Mises-Fisher posterior and a uniform prior on the sphere in :math:`\mathbb{R}^{d+1}` stand against a
normal posterior and prior of dimension :math:`d`, as in Davidson et al. (2018),
https://arxiv.org/abs/1804.00891: ahead at small :math:`d`, behind at 40. As there, networks are of
256 and 128 ReLU, training binarization is redrawn, and the weight of the KL term rises over the
first epochs. Both are trained and evaluated alike, on the whole test set of protocol A, and
compared datum by datum.
"""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

from rich.console import Console

from ppl_vae.experiments.benchmarks.page import Part, head, measured
from ppl_vae.experiments.benchmarks.paired import evidence, made, records, seconds, told
from ppl_vae.run import Run

NETWORKS = (
    "--encoder mlp --encoder.hidden [256,128] --encoder.activation ReLU "
    "--decoder mlp --decoder.hidden [128,256] --decoder.activation ReLU"
)
SPHERE = "--prior SphericalUniform --posterior VonMisesFisher"
HEADS = ("d", "normal", "sphere", "sphere - normal", "training", "evaluation")


def main() -> None:
    parser = ArgumentParser(description="Compares spherical and normal latent variables on MNIST.")
    parser.add_argument("--root", required=True, help="the folder of MNIST, or its parent")
    parser.add_argument("--out", type=Path, default=Path("runs/spheres"), help="a folder")
    parser.add_argument("--dims", type=int, nargs="+", default=[5, 10, 20, 40])
    parser.add_argument("--seeds", type=int, default=3, help="the number of runs of each")
    parser.add_argument("--epochs", type=int, default=60, help="the number of epochs of each")
    parser.add_argument("--warmup", type=int, default=10, help="epochs of a rising KL weight")
    parser.add_argument("--particles", type=int, default=500, help="particles of the evaluation")
    parser.add_argument("--write", type=Path, help="a Markdown file to write the table to")
    given = parser.parse_args()
    part = None if given.write is None else Part(given.write, "spheres")
    console = Console()
    lines = head(HEADS)
    training = (
        f"--root {given.root} --protocol A --epochs {given.epochs} --warmup {given.warmup} "
        "--optimizer Adam --optimizer.lr 0.001 "
        f"--scheduler CosineAnnealingLR --scheduler.T_max {given.epochs} {NETWORKS}"
    )

    for d in given.dims:
        kinds = {"normal": f"--latent {d}", "sphere": f"--latent {d + 1} {SPHERE}"}
        runs: dict[str, list[Run]] = {kind: [] for kind in kinds}
        for seed in range(given.seeds):
            for kind, options in kinds.items():
                folder = given.out / f"{kind}-{d}" / f"seed-{seed}"
                whole = f"{options} {training} --seed {seed}"
                runs[kind].append(made("mnist", whole, folder, given.particles))
        every = [run for both in runs.values() for run in both]
        records(every)
        normal, sphere = evidence(runs["normal"]), evidence(runs["sphere"])
        row = (str(d), told(normal), told(sphere), told(sphere - normal), *seconds(every))
        lines.append(f"| {' | '.join(row)} |")
        console.print(lines[-1], markup=False, highlight=False)

    if part is not None:
        part.write(f"{measured('benchmarks.spheres', given.root)}\n\n" + "\n".join(lines))


if __name__ == "__main__":
    main()
