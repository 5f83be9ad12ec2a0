r"""Laws of active units."""

from __future__ import annotations

import pytest
import torch

from ppl_vae.evaluation import active_units


def test_what_depends_on_the_data_is_active() -> None:
    x = torch.randn(200, generator=torch.Generator().manual_seed(0))
    means = torch.stack([x, 0.2 * x, 0.05 * x, 0.0 * x + 3.0], dim=1).reshape(200, 2, 2)
    assert active_units(means).tolist() == [[True, True], [False, False]]
    assert active_units(means, threshold=0.5).tolist() == [[True, False], [False, False]]


def test_one_datum_has_no_variance() -> None:
    with pytest.raises(ValueError, match="takes two or more, got 1"):
        active_units(torch.zeros(1, 3))
