r"""Commands that use a run: encode, sample, reconstruct."""

from __future__ import annotations

from pathlib import Path

from .. import plots
from ..folder.gallery import pixel_range
from ..run import load
from .output import picture, save
from .tokens import run_function


def encode_command(tokens: list[str]) -> None:
    r"""encode DIR: writes codes (a draw, posterior mean and scale) to .npz."""

    def encode(
        dir: str,
        split: str = "test",
        file: str | None = None,
        labels: str | None = None,
        exposure: str | None = None,
        out: str | None = None,
        seed: int = 0,
        device: str = "auto",
    ) -> None:
        """Writes codes (a draw, posterior mean and scale) to a .npz file.

        Args:
            dir: The folder of the run.
            split: train, validation or test.
            file: A file of data to encode instead, in any format that `array` reads.
            labels: The column of labels in that file, if there is one.
            exposure: The column of exposures in that file, if there is one.
            out: The .npz file to write; by default in the run's folder.
            seed: The seed of the draws.
            device: auto, cuda, mps or cpu.
        """
        run = load(dir, device=device)
        if file is None:
            arrays = run.codes(split, seed=seed)
        else:
            arrays = run.codes_of(file, labels, seed, exposure=exposure)
        name = split if file is None else Path(file).name.split(".")[0]
        save(out or run.dir / f"codes-{name}.npz", arrays)

    run_function(encode, tokens)


def sample_command(tokens: list[str]) -> None:
    r"""sample DIR: draws data from the model, as .npz and .png."""

    def sample(dir: str, n: int = 64, seed: int = 0, device: str = "auto") -> None:
        """Draws data from the model, as .npz and .png.

        Args:
            dir: The folder of the run.
            n: The number of data to draw.
            seed: The seed of the draws.
            device: auto, cuda, mps or cpu.
        """
        run = load(dir, device=device)
        x, mean = run.sample(n, seed=seed)
        arrays = {"x": run.raw(x).cpu().numpy(), "mean": run.raw(mean).cpu().numpy()}
        save(run.dir / "samples.npz", arrays)
        picture(run, "samples", plots.samples(mean, draws=x, **pixel_range(run)))

    run_function(sample, tokens)


def reconstruct_command(tokens: list[str]) -> None:
    r"""reconstruct DIR: encodes and decodes data, as .npz and .png."""

    def reconstruct(
        dir: str, split: str = "test", n: int = 10, seed: int = 0, device: str = "auto"
    ) -> None:
        """Encodes and decodes data, as .npz and .png.

        Args:
            dir: The folder of the run.
            split: train, validation or test.
            n: The number of data, drawn at random.
            seed: The seed of the draws.
            device: auto, cuda, mps or cpu.
        """
        run = load(dir, device=device)
        batch = run.batch(split, n, seed)
        x = batch["x"]
        mean = run.reconstruct(x, exposure=batch.get("exposure"), seed=seed)
        arrays = {"x": run.raw(x).cpu().numpy(), "mean": run.raw(mean).cpu().numpy()}
        save(run.dir / f"reconstructions-{split}.npz", arrays)
        picture(run, "reconstructions", plots.reconstructions(x, mean, n, **pixel_range(run)))

    run_function(reconstruct, tokens)
