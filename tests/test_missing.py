r"""Data with missing entries, from the network to the evidence of a run."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from wrapper_cases import COLUMNS_MASKED, NAN, holes, programs, steps, table

from ppl_vae import load, train
from ppl_vae.conditional import Conditional
from ppl_vae.data import Data, stored
from ppl_vae.families import Bernoulli, Clamped, Masked, Normal, Product
from ppl_vae.guides import Amortized
from ppl_vae.models import VAE
from ppl_vae.networks import conv
from ppl_vae.priors import StandardNormal
from ppl_vae.weights import log_weights

# Networks and programs


def test_network_sees_what_is_missing() -> None:
    class Seen(torch.nn.Module):
        def __init__(self, in_shape: torch.Size, out_shape: torch.Size) -> None:
            super().__init__()
            self.in_shape, self.out_shape = in_shape, out_shape

        def forward(self, c: Tensor) -> Tensor:
            assert c.shape[1:] == self.in_shape
            self.seen = c
            return c.new_zeros(len(c), *self.out_shape)

    q = Conditional((2, 3), Normal((2,)), Seen, missing=True, in_scale=10.0)
    c = torch.arange(1.0, 13.0).view(2, 1, 2, 3)
    c[0, 0, 1, 2] = NAN
    q(c)

    assert q.in_shape == (2, 3) and q.net.in_shape == (4, 3)
    first, second = q.net.seen.view(2, 2, 2, 3)  # type: ignore[operator, union-attr]
    torch.testing.assert_close(first[0], torch.tensor([[0.1, 0.2, 0.3], [0.4, 0.5, 0.0]]))
    assert torch.equal(first[1], torch.tensor([[1.0, 1.0, 1.0], [1.0, 1.0, 0.0]]))
    assert torch.equal(second[1], torch.ones(2, 3))

    with pytest.raises(ValueError, match="no dimension along which to tell missing entries"):
        Conditional((), Normal((2,)), Seen, missing=True)


def test_pictures_with_missing_pixels() -> None:
    x = holes(torch.rand(6, 1, 4, 4).round())
    model = VAE(StandardNormal((2,)), Conditional((2,), Masked((1, 4, 4), Bernoulli), conv([4])))
    guide = Amortized(Conditional((1, 4, 4), Normal((2,)), conv([4]), missing=True))

    assert all(math.isfinite(loss) for loss in steps(model, guide, x))
    assert log_weights(model, guide, {"x": x}, 3).log_weight.isfinite().all()


def test_absent_rows_have_the_evidence_one() -> None:
    r"""Without data there is no likelihood: log p() = 0, whatever the draws."""
    model, guide = programs(Masked, missing=True)
    w = log_weights(model, guide, {"x": torch.full((5, 4), NAN)}, 3)

    assert not w.likelihood.any()


def test_what_is_wrong_with_missing_data() -> None:
    x = torch.randn(6, 4)
    gaps = x.clone()
    gaps[2, 1] = NAN
    cases = [
        (programs(Normal, missing=True), gaps, "'x' hold NaN.*take the likelihood Masked"),
        (programs(Masked), gaps, "The data x hold NaN.*missing=True"),
        (programs(Masked, missing=True), gaps / 0, "NaN or infinite values"),
        (programs(lambda s: Masked(s, Bernoulli), missing=True), gaps, "outside of the support"),
        (programs(lambda s: Product(s, COLUMNS_MASKED), missing=True), gaps, "outside of the supp"),
        (programs(Masked, missing=True), gaps[:, :3], r"expects conditions of shape \(\*, 4\)"),
    ]
    # A posterior with point masses has no ratio to a prior without.
    cases.append((programs(Normal, Clamped), x, "point 0 in the guide"))
    whole = table()[:6]
    whole[3, 3] = NAN  # a column that is not masked
    cases.append((programs(lambda s: Product(s, COLUMNS_MASKED), missing=True), whole, "hold NaN"))

    for (model, guide), data, sentence in cases:
        with pytest.raises(ValueError, match=sentence):
            log_weights(model, guide, {"x": data}, 2)


# Data and runs


def test_data_with_missing_entries() -> None:
    x = torch.tensor([[1.0, 2.0], [NAN, 4.0], [3.0, NAN], [5.0, 9.0]])
    from ppl_vae.data.scaling import standardize

    data = Data.of(train=x, allow_nan=True, scale=standardize)
    y = data.batch("train")["x"]
    complete = Data.of(train=x.nan_to_num(), scale=standardize)
    assert data.scaling is not None
    log_s = data.scaling.scale.log()

    assert data.missing and not complete.missing
    assert torch.equal(y.isnan(), x.isnan())
    torch.testing.assert_close(data.mean, torch.zeros(2), rtol=0, atol=1e-6)
    # An entry's own change of volume; a missing one has none.
    expected = -torch.stack([log_s.sum(), log_s[1], log_s[0], log_s.sum()])
    torch.testing.assert_close(data.log_volumes(y), expected, rtol=1e-12, atol=0)
    assert (complete.log_volumes(y.nan_to_num()) == complete.log_volume).all()
    # Parts that start at data start at complete rows.
    assert torch.equal(data.examples()[~x.isnan()], y[~x.isnan()])
    assert torch.equal(data.examples()[1, :1], data.mean[:1])
    assert data.examples(complete=False).isnan().any()
    with stored(data.summary()):
        assert Data.of(train=x).missing
    with stored(complete.summary()):
        assert not Data.of(train=x).missing
    with pytest.raises(ValueError, match="takes no missing values"):
        Data.of(train=x, allow_nan=True, log_volume=1.0)


SMALL = [
    *("--latent", "2", "--epochs", "2", "--batch_size", "64"),
    *("--encoder.hidden", "[8]", "--decoder.hidden", "[8]"),
]


def gappy(folder: Path, scale: float = 1.0) -> Path:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 2)) @ rng.normal(size=(2, 5)) + 0.3 * rng.normal(size=(120, 5))
    x[rng.uniform(size=x.shape) < 0.2] = NAN
    np.save(folder / "gaps.npy", scale * x + 7)
    return folder / "gaps.npy"


def test_run_on_a_file_with_missing_entries(tmp_path: Path) -> None:
    file = ["--file", str(gappy(tmp_path)), *SMALL]
    masked = [*file, "--likelihood", "Masked", "--likelihood.family", "Normal"]
    run = load(train("array", tmp_path / "run", [*masked, "--prior", "Vamp"]).dir)
    record = run.evaluate("test", particles=20)
    raw = run.log_evidence(particles=20).log_evidence.double()
    x = run.batch("test")["x"]
    volumes = run.data.log_volumes(x)
    present = (~x.isnan()).sum().item() / len(x)

    assert run.data.missing and x.isnan().any()
    assert record["log_evidence"] == pytest.approx((raw + volumes).mean().item(), rel=1e-6)
    error = (raw + volumes).std().item() / len(x) ** 0.5
    assert record["standard_error"] == pytest.approx(error, rel=1e-6)
    bits = -record["log_evidence"] / present / math.log(2)
    assert record["bits_per_dim"] == pytest.approx(bits)
    assert run.reconstruct(x).isfinite().all() and run.sample(3)[0].isfinite().all()
    assert len(run.codes_of(tmp_path / "gaps.npy")["z"]) == 120
    assert "reconstructions" in run.figures()

    with pytest.raises(ValueError, match=r"missing entries.*--likelihood Masked --likelihood.fam"):
        train("array", tmp_path / "none", file)
    assert not (tmp_path / "none").exists()


def test_units_change_evidence_by_their_volume(tmp_path: Path) -> None:
    r"""Data in units a thousand times smaller have a density a thousand times smaller, for each
    entry that is there."""
    records = []
    for name, scale in (("metres", 1.0), ("millimetres", 1000.0)):
        (tmp_path / name).mkdir()
        file = gappy(tmp_path / name, scale)
        options = ["--file", str(file), *SMALL, "--likelihood", "Masked"]
        run = train("array", tmp_path / f"run-{name}", options)
        records.append(run.evaluate("test", particles=20)["log_evidence"])
        x = run.batch("test")["x"]

    present = (~x.isnan()).sum().item() / len(x)
    assert records[0] - records[1] == pytest.approx(present * math.log(1000), abs=1e-3)
