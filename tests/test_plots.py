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


def history(end: float, epochs: int = 12, name: str = "validation_elbo") -> list[dict[str, float]]:
    """The rows of a run that rises to a value, half a nat below it at the last epoch."""
    return [
        {"epoch": float(i), "seconds": 2.0, name: end - 0.5 * epochs / i, "train_loss": 1.0}
        for i in range(1, epochs + 1)
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
    "overlay": lambda: plots.overlaid_curves(
        [{"name": n, "histories": [history(v), history(v + 1)]} for n, v in (("a", -9), ("b", -7))]
    ),
    "overlay of one row": lambda: plots.overlaid_curves(
        [{"name": "a", "histories": [history(-9, 1)], "ranked": False}]
    ),
    "overlay of many": lambda: plots.overlaid_curves(
        [
            {
                "name": f"{i} " + "word " * 3 * i,
                "histories": [history(-9 - i, 3 + i)],
                "ranked": i < 9,
            }
            for i in range(12)
        ]
    ),
    "overlay of a mixture": lambda: plots.overlaid_curves(
        [
            {"name": "a", "histories": [history(-9)], "data": 1},
            {"name": "b", "histories": [history(-8, name="train_bound")], "data": 2},
            {"name": "c" * 50, "histories": [LOSSES], "data": 1},
        ]
    ),
    "overlay without seconds": lambda: plots.overlaid_curves(
        [{"name": "a", "histories": [HISTORY]}]
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
UNITS += ("latent dimension", "dimension of x", "seconds")


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


def legend(figure: Figure) -> list[str]:
    return [text.get_text().replace("\n", " ") for text in figure.legends[0].get_texts()]


def test_overlaid_lines_are_means_over_runs() -> None:
    """As far as all of them went, by epoch and by the seconds up to it."""
    first, second = history(-9, epochs=6), history(-7, epochs=4)
    for row in second:
        row["seconds"] = 4.0
    figure = plots.overlaid_curves([{"name": "a", "histories": [first, second]}])
    pairs = zip(first[:4], second, strict=True)
    values = [(a["validation_elbo"] + b["validation_elbo"]) / 2 for a, b in pairs]
    for panel, step in enumerate((1.0, 3.0)):
        line, *runs = figure.axes[panel].get_lines()
        assert list(line.get_xdata()) == [step * i for i in range(1, 5)]
        assert list(line.get_ydata()) == pytest.approx(values)
        assert [len(list(run.get_xdata())) for run in runs] == [6, 4]
    assert legend(figure) == ["a, 2\N{NO-BREAK SPACE}seeds"]


@pytest.mark.parametrize("hole", ["nan", "absent", "no row"])
def test_a_hole_of_one_run_shifts_nothing(hole: str) -> None:
    """Means are over runs at one epoch, and there is none where a run has no value."""
    first, second = history(-9, epochs=4), history(-7, epochs=5)
    whole = {
        row["epoch"]: (row["validation_elbo"] + other["validation_elbo"]) / 2
        for row, other in zip(first, second, strict=False)
        if row["epoch"] != 2
    }
    if hole == "nan":
        first[1]["validation_elbo"] = nan
    elif hole == "absent":
        del first[1]["validation_elbo"]
    else:
        del first[1]
    figure = plots.overlaid_curves([{"name": "a", "histories": [first, second]}])
    line = figure.axes[0].get_lines()[0]
    assert list(line.get_xdata()) == list(whole)
    assert list(line.get_ydata()) == pytest.approx(list(whole.values()))


@pytest.mark.parametrize("other", [[], LOSSES, history(-9, name="train_elbo")])
def test_a_seed_without_the_term_is_told(other: list[dict[str, float]]) -> None:
    figure = plots.overlaid_curves([{"name": "a", "histories": [history(-9), other]}])
    assert legend(figure) == ["a, 1 of 2\N{NO-BREAK SPACE}seeds"]


def test_a_loss_stands_in_for_a_bound() -> None:
    rows = [{**row, "train_reconstruction": -row["train_loss"]} for row in LOSSES]
    titles = [axes.get_title() for axes in plots.learning_curves(rows).axes]
    assert titles == ["loss", "reconstruction"]
    bounded = [{**row, "train_elbo": -100.0} for row in rows]
    titles = [axes.get_title() for axes in plots.learning_curves(bounded).axes]
    assert titles == ["ELBO", "reconstruction"]


def test_overlay_keeps_the_order_it_is_given() -> None:
    groups = [{"name": n, "histories": [history(-5)], "ranked": n != "a"} for n in "cba"]
    figure = plots.overlaid_curves(groups)
    assert legend(figure) == ["c", "b", "a (not ranked)"]
    assert figure.legends[0].get_title().get_text() == "best log p(x) first"


@pytest.mark.parametrize(
    ("rows", "label"),
    [
        ({"validation_elbo": -3.0, "train_elbo": -2.0}, "validation ELBO"),
        ({"validation_elbo": -3.0, "validation_bound": -2.5, "train_elbo": 0}, "validation bound"),
        ({"train_elbo": -2.0, "train_loss": 1.0}, "training ELBO"),
        ({"validation_loss": 1.0, "validation_elbo": -3.0, "criterion": -1.0}, "validation ELBO"),
        ({"validation_loss": 1.0, "validation_reconstruction": -2.0}, "validation reconstruction"),
    ],
)
def test_overlay_says_what_is_drawn(rows: dict[str, float], label: str) -> None:
    figure = plots.overlaid_curves([{"name": "a", "histories": [[{"epoch": 1.0, **rows}]]}])
    assert figure.axes[0].get_ylabel() == f"{label} (nats per datum)"
    assert legend(figure) == ["a"]


def test_overlay_says_where_lines_differ() -> None:
    groups = [
        {"name": "a", "histories": [history(-9)], "data": "x"},
        {"name": "b", "histories": [history(-8, name="validation_bound")], "data": "y"},
        {"name": "c", "histories": [history(-8, name="train_elbo")], "data": "x"},
        {"name": "d", "histories": [[], LOSSES], "data": "x"},
    ]
    figure = plots.overlaid_curves(groups)
    assert figure.axes[0].get_ylabel() == "lower bound of log p(x) (nats per datum)"
    assert legend(figure) == ["a (validation ELBO)", "b (validation bound)", "c (training ELBO)"]
    note = figure.get_supxlabel()
    assert "Left out, for want of a finite bound: d." in note and "saw different data" in note


def test_overlay_shows_the_end_of_training() -> None:
    """Neither the first epochs nor a run that failed flatten what is to be told apart."""
    slow = [
        {**row, "validation_elbo": row["validation_elbo"] - 1e5 / 99 ** row["epoch"]}
        for row in history(-9)
    ]
    ends = {"a": slow, "b": history(-9.1), "c": history(-9.3), "d": history(-900.0)}
    figure = plots.overlaid_curves([{"name": n, "histories": [h]} for n, h in ends.items()])
    low, high = figure.axes[0].get_ylim()
    assert low < -9.8 and high > -9.5 and high - low < 2.5
    assert "off scale" in figure.axes[0].get_xlabel()
    assert legend(figure)[3] == "d (off scale, ends at -900.5)"


def test_overlay_takes_names_as_they_are() -> None:
    names = ["_a", "$b$", "c_1"]
    figure = plots.overlaid_curves([{"name": n, "histories": [history(-5)]} for n in names])
    assert [label.strip() for label in legend(figure)] == names
    assert not any(text.get_parse_math() for text in figure.legends[0].get_texts())


def test_overlay_keeps_a_peak_in_sight() -> None:
    rows = [{"epoch": float(i), "validation_elbo": -abs(i - 4.0)} for i in range(1, 41)]
    low, high = plots.overlaid_curves([{"name": "a", "histories": [rows]}]).axes[0].get_ylim()
    assert low < -36 and high > 0


@pytest.mark.parametrize("name", [name for name in FIGURES if "overlay" in name])
def test_no_legend_covers_lines(name: str) -> None:
    figure = FIGURES[name]()
    box = figure.legends[0].get_window_extent()
    assert not any(axes.get_window_extent().overlaps(box) for axes in figure.axes)


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
        (lambda: plots.overlaid_curves([]), "no runs"),
        (lambda: plots.overlaid_curves([{"name": "a", "histories": [LOSSES, []]}]), "no run has"),
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
