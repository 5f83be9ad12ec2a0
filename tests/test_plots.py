"""Figures: every kind of data can be drawn, is labelled, and leaves the world as it was."""

import io
import math
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch import Tensor, nan, rand, randn

from ppl_vae import plots

HISTORY = [
    {
        "epoch": float(i),
        "kl_weight": min(i / 5, 1.0),
        **{
            f"{split}_{term}": scale * (1 + 5 / i)
            for split in ("train", "validation")
            for term, scale in (("elbo", -100.0), ("reconstruction", -80.0), ("kl", 20.0))
        },
    }
    for i in range(1, 41)
]
LOSSES = [{"epoch": float(i), "train_loss": 100 + 1 / i} for i in range(1, 4)]

EVENTS = {
    "grey": (1, 8, 8),
    "colour": (3, 8, 6),
    "matrix": (8, 6),
    "channels": (2, 5, 4),
    "row": (1, 1, 9),
    "wide": (4, 40),
    "tall": (40, 4),
    "scalar": (),
    "single": (1,),
    "plane": (2,),
    "vector": (8,),
    "long": (100,),
}


def holed(*shape: int) -> Tensor:
    x = rand(*shape)
    x[..., 0] = nan
    return x


FIGURES: dict[str, Callable[[], Figure]] = {
    "curves": lambda: plots.learning_curves(HISTORY),
    "curves of one row": lambda: plots.learning_curves(HISTORY[:1]),
    "curves of losses": lambda: plots.learning_curves(LOSSES),
    "curves with NaN": lambda: plots.learning_curves([*HISTORY, {**HISTORY[-1], "train_kl": nan}]),
    "curves with texts": lambda: plots.learning_curves(
        [{k: str(v) for k, v in HISTORY[3].items()}]
    ),
    "curves with holes": lambda: plots.learning_curves(
        [{"epoch": 1.0, "train_elbo": nan}, {"epoch": 2.0, "validation_elbo": -3.0}, {"epoch": 3.0}]
    ),
    "missing pixels": lambda: plots.reconstructions(holed(3, 1, 4, 4), rand(3, 1, 4, 4)),
    "missing colours": lambda: plots.samples(holed(3, 3, 4, 4)),
    "all missing": lambda: plots.samples(torch.full((3, 4, 4), nan)),
    "missing values": lambda: plots.reconstructions(holed(3, 5), rand(3, 5)),
    "constant pictures": lambda: plots.samples(torch.ones(3, 4, 4)),
    "counts": lambda: plots.samples(torch.randint(0, 17, (9, 4, 4)), vmin=0, vmax=16),
    "one sample": lambda: plots.samples(rand(1, 4, 4)),
    "draws": lambda: plots.samples(rand(70, 4, 4), draws=rand(70, 4, 4).bernoulli()),
    "draws of vectors": lambda: plots.samples(rand(70, 2), draws=rand(70, 2)),
    "codes": lambda: plots.latent_space(randn(50, 8)),
    "codes with labels": lambda: plots.latent_space(randn(50, 8), torch.arange(50) % 10),
    "codes with names": lambda: plots.latent_space(
        randn(50, 2), torch.arange(50) % 3, ["cat", "dog"]
    ),
    "codes of one dimension": lambda: plots.latent_space(randn(50, 1), torch.arange(50) % 3),
    "codes with many classes": lambda: plots.latent_space(randn(200, 2), torch.arange(200) % 47),
    "codes with too many classes": lambda: plots.latent_space(randn(200, 2), torch.arange(200)),
    "codes of a picture": lambda: plots.latent_space(randn(50, 2, 3, 3)),
    "collapsed codes": lambda: plots.latent_space(torch.zeros(50, 8)),
    "a single code": lambda: plots.latent_space(randn(1, 8), torch.tensor([3])),
    "codes in part": lambda: plots.latent_space(torch.tensor([[nan, 1.0], [0.0, 1.0], [2.0, 1.0]])),
    "values of rows": lambda: plots.traversal(rand(2, 3, 4, 4), [-1, 0, 1], ["a", "b"]),
    "evidence": lambda: plots.evidence_histogram(randn(500), randn(500) - 1),
    "evidence of one": lambda: plots.evidence_histogram(np.array([-90.0])),
    "evidence with tails": lambda: plots.evidence_histogram(
        torch.cat([randn(500), torch.tensor([-1e6, nan, -math.inf])])
    ),
    "equal evidence": lambda: plots.evidence_histogram(torch.ones(5)),
    "comparison": lambda: plots.comparison(
        [
            {"name": "a", "log_evidence": -90.0, "standard_error": 0.5, "elbo": -95.0},
            {"name": "b " * 100, "log_evidence": -80.0, "standard_error": nan, "elbo": None},
        ]
    ),
    "comparison of one": lambda: plots.comparison([{"name": "a", "log_evidence": -90.0}]),
    **{
        f"{name} of {event}": lambda draw=draw, shape=shape: draw(shape)
        for event, shape in EVENTS.items()
        for name, draw in {
            "reconstructions": lambda s: plots.reconstructions(rand(12, *s), rand(12, *s)),
            "samples": lambda s: plots.samples(rand(64, *s)),
            "traversal": lambda s: plots.traversal(rand(6, 7, *s)),
        }.items()
    },
}

UNITS = ("nats per datum", "number of data", "epoch", "pixel values", "unit", "variance")
UNITS += ("latent dimension", "dimension of x")


def texts(figure: Figure) -> list[Any]:
    from matplotlib.text import Text

    return [t for t in figure.findobj(Text) if t.get_text() and t.get_visible()]


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_legible(name: str) -> None:
    """They have a title and labels with units, in large enough letters, all on the paper."""
    figure = FIGURES[name]()
    assert figure.get_suptitle()
    assert figure.get_size_inches()[0] <= 9
    assert all(text.get_fontsize() >= 9 for text in texts(figure))

    labels = [label for a in figure.axes for label in (a.get_xlabel(), a.get_ylabel()) if label]
    assert labels and all(any(unit in label for unit in UNITS) for label in labels)

    renderer, paper = figure.canvas.get_renderer(), figure.bbox  # type: ignore[attr-defined]
    captions = [caption for a in figure.axes for caption in (a.title, a.xaxis.label, a.yaxis.label)]
    for artist in (*figure.legends, *(c for c in captions if c.get_text())):
        box = artist.get_window_extent(renderer)
        assert box.x0 > -1 and box.y0 > -1, artist
        assert box.x1 < paper.x1 + 1 and box.y1 < paper.y1 + 1, artist


def test_resolution_changes_nothing_but_the_dots() -> None:
    from PIL import Image

    figure = plots.samples(rand(8, 4, 4), dpi=50)
    width, height = figure.get_size_inches()

    for dpi in (None, 100):
        size = Image.open(io.BytesIO(plots.png(figure, dpi))).size
        assert size == pytest.approx((width * (dpi or 50), height * (dpi or 50)), abs=1)

    assert plots.png(figure) == plots.png(figure)


def test_global_state_is_left_alone() -> None:
    import matplotlib

    with matplotlib.rc_context({"font.size": 31.0, "image.cmap": "hot", "axes.grid": True}):
        before, backend = dict(matplotlib.rcParams), matplotlib.get_backend()
        figures = [FIGURES[name]() for name in ("curves", "counts", "codes", "evidence")]
        bold = plots.png(figures[0])
        assert dict(matplotlib.rcParams) == before
        assert matplotlib.get_backend() == backend

    # Nor do the settings of the user reach the figures.
    assert bold == plots.png(plots.learning_curves(HISTORY))


def test_import_is_light() -> None:
    code = """
import sys
import ppl_vae.plots, ppl_vae.report
assert not [m for m in sys.modules if m.split(".")[0] in ("matplotlib", "torchvision", "sklearn")]
import torch
ppl_vae.plots.png(ppl_vae.plots.samples(torch.rand(4, 8, 8)))
assert "matplotlib.pyplot" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_curves_are_not_spoilt_by_the_first_epochs() -> None:
    rows = [{"epoch": i, "train_elbo": -100 - 1e6 * (i == 1)} for i in range(1, 31)]
    axes = plots.learning_curves(rows).axes[0]
    low, high = axes.get_ylim()
    assert low > -110 and low <= -100 <= high
    assert "the first 1 off scale" in axes.get_xlabel()


def test_curves_mark_the_best_epoch() -> None:
    rows = [{**row, "validation_elbo": -abs(row["epoch"] - 7)} for row in HISTORY]
    figure = plots.learning_curves(rows)
    assert "best epoch (7)" in [t.get_text() for t in figure.legends[0].get_texts()]
    low, high = figure.axes[0].get_ylim()
    assert low <= 0 <= high


def test_pictures_keep_their_pixels() -> None:
    x = torch.tensor([[[0.0, 16.0], [8.0, 4.0]]])
    image = plots.reconstructions(x, x, vmin=0, vmax=16).axes[0].get_images()[0].get_array()
    assert image is not None
    assert np.allclose(image[:2, :2, 0], [[0, 1], [0.5, 0.25]])


def test_principal_components_tell_their_variance() -> None:
    z = randn(5000, 4, dtype=torch.float64) * torch.tensor([3.0, 1.0, 0.0, 0.0])
    axes = plots.latent_space(z).axes[0]
    share = [
        float(label.split("(")[1].split(" %")[0])
        for label in (axes.get_xlabel(), axes.get_ylabel())
    ]
    exact = 100 * torch.linalg.eigvalsh(z.T.cov()).flip(0)[:2] / z.var(0).sum()
    assert share == pytest.approx(exact.tolist(), abs=0.51)


def test_histogram_tells_mean_error_and_tails() -> None:
    x = torch.cat([torch.full((50,), -1.0), torch.full((50,), -3.0), torch.tensor([nan])])
    figure = plots.evidence_histogram(x)
    legend = [t.get_text() for t in figure.legends[0].get_texts()]
    assert "mean -2.00 ± 0.10 (standard error)" in legend  # sqrt(100 / 99) / sqrt(100)
    assert "the lowest at -3.0" in figure.axes[0].get_xlabel()
    assert "not finite: 1 more" in figure.axes[0].get_xlabel()


def test_comparison_puts_the_best_on_top() -> None:
    records = [{"name": n, "log_evidence": v} for n, v in (("a", -2.0), ("b", -1.0), ("c", -3.0))]
    labels = plots.comparison(records).axes[0].get_yticklabels()
    assert [label.get_text() for label in labels] == ["c", "a", "b"]


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plots.learning_curves([]), "no row has a finite loss"),
        (lambda: plots.learning_curves([{"epoch": 1, "train_elbo": nan}]), "finite loss"),
        (lambda: plots.reconstructions(rand(3, 4), rand(3, 5)), "one shape"),
        (lambda: plots.reconstructions(rand(0, 4), rand(0, 4)), "a row at least"),
        (lambda: plots.samples(rand(0, 4, 4)), "no samples"),
        (lambda: plots.latent_space(torch.full((3, 2), nan)), "no codes"),
        (lambda: plots.latent_space(rand(3, 2), torch.zeros(2)), "3 codes, but 2 labels"),
        (lambda: plots.traversal(rand(3)), "rows and columns"),
        (lambda: plots.traversal(rand(3, 2, 4, 4), [1.0]), "3 names and 2 values"),
        (lambda: plots.evidence_histogram(torch.full((3,), nan)), "no finite"),
        (lambda: plots.comparison([]), "no runs"),
    ],
)
def test_what_cannot_be_drawn_is_refused(draw: Callable[[], Figure], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw()
