r"""Laws of the figures of calibration: they show what was found, and all of it that fits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from ppl_vae.drawing.calibration import (
    coverage_curve,
    pit_histograms,
    rank_differences,
    rank_histograms,
)
from ppl_vae.drawing.canvas import BOUND, MODEL
from ppl_vae.evaluation.calibration import Calibration, Quantity


def arrays(elements: int) -> dict[str, Any]:
    r"""Uniform ranks of many elements, the third of which is a U."""
    generator = torch.Generator().manual_seed(0)
    ranks = torch.randint(16, (300, elements), generator=generator)
    ranks[:, 2] = torch.where(ranks[:, 2] < 8, 0, 15)
    columns = tuple(Quantity(f"z[{i}]", "latent", "z") for i in range(elements))
    return Calibration(ranks, columns, 15).arrays()


def bars(found: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(found[k] for k in ("bars", "names", "adjusted", "bar_low", "bar_high"))


@pytest.mark.parametrize("draw", [rank_histograms, pit_histograms])
def test_histograms(draw: Any) -> None:
    found = arrays(3)
    figure = draw(*bars(found))
    assert [axes.get_title(loc="left") for axes in figure.axes] == found["names"].tolist()

    for i, axes in enumerate(figure.axes):
        patches = axes.patches[:16]
        assert [p.get_height() for p in patches] == found["bars"][i].tolist()
        colour = {p.get_facecolor()[:3] for p in patches}
        expected = BOUND if i == 2 else MODEL
        assert colour == {tuple(int(expected[k : k + 2], 16) / 255 for k in (1, 3, 5))}

    with pytest.raises(ValueError, match="no ranks"):
        draw(np.zeros((0, 8)), [], np.zeros(0), 0, 1)


def test_many_histograms() -> None:
    many = rank_histograms(*bars(arrays(70)))
    assert len(many.axes) == 12 and "z[2]" in {axes.get_title(loc="left") for axes in many.axes}
    assert "12 of 70" in many.get_suptitle()


@pytest.mark.parametrize("elements", [3, 40])
def test_differences(elements: int) -> None:
    found = arrays(elements)
    keys = ("levels", "differences", "names", "adjusted", "low", "high")
    figure = rank_differences(*(found[k] for k in keys))
    axes = figure.axes[0]

    assert len(axes.lines) == elements + 1
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["z[2]"]
    drawn = next(line for line in axes.lines if line.get_label() == "z[2]")
    np.testing.assert_allclose(drawn.get_ydata()[1:-1], found["differences"][2])


def test_coverage_curve() -> None:
    found = arrays(3)
    u = found["levels"]
    for rejected, colour in ((True, BOUND), (False, MODEL)):
        curve = found["differences"][2]
        figure = coverage_curve(u, curve, found["low"], found["high"], rejected=np.array(rejected))
        line = figure.axes[0].lines[-1]
        assert line.get_color() == colour
        np.testing.assert_allclose(line.get_ydata()[1:-1], u + curve)
