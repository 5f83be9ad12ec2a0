"""Reports: one file, whole, escaped, and honest about what its numbers are worth."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch

from ppl_vae import plots
from ppl_vae.drawing.facts import describe
from ppl_vae.drawing.verdict import verdict
from ppl_vae.report import write_comparison, write_report

NASTY = "<script>alert('x')</script> & \"quotes\""
KHAT = {"median": 0.2, "max": 0.9, "share_over_0.7": 0.12}
RECORD: dict[str, Any] = {
    "method": "importance",
    "split": "test",
    "estimator": "importance weighting",
    "particles": 500,
    "n": 300,
    "log_evidence": -97.984,
    "standard_error": 1.22,
    "monte_carlo_error": 0.027,
    "elbo": -103.5,
    "reconstruction": -87.4,
    "kl": 16.1,
    "bits_per_dim": 2.2087,
    "ess": {"median": 60.0, "min": 1.5},
    "khat": KHAT,
    "seconds": 1.3,
    "device": "cpu",
}


ATTRIBUTES: dict[str, Any] = {
    "config": {
        "experiment": NASTY,
        "seed": 7,
        "options": {
            "prior": {"class_path": "ppl_vae.priors.Vamp", "init_args": {"components": 100}},
            "latent": 8,
            "epochs": 60,
            "optimizer": None,
        },
    },
    "data_summary": {
        "name": "digits",
        "event_shape": [1, 8, 8],
        "counts": {"train": 1297, "test": 300},
        "binarization": "none",
        "hash": "abc123",
    },
    "provenance": {
        "versions": {"ppl_vae": "0.1.0", "torch": "2.15.0"},
        "device": "cpu (x86_64)",
        "parameters": 171088,
        "seconds": 27.5,
    },
    "history": [{"epoch": i, "train_elbo": -100 - 9 / i, "seconds": 1.0} for i in range(1, 6)],
    "evidence": [RECORD, {**RECORD, "split": "train", "particles": 10}],
}


class FakeRun:
    """A run with everything, unless told otherwise."""

    def __init__(self, folder: Path, **replaced: Any) -> None:
        self.dir = folder
        self.history: Any = None
        vars(self).update(ATTRIBUTES | replaced)

    def figures(self) -> dict[str, Any]:
        x = torch.rand(10, 1, 8, 8)
        return {
            "unknown <figure>": plots.samples(x),
            "evidence": plots.evidence_histogram(torch.randn(50)),
            "learning_curves": plots.learning_curves(self.history),
            "latent_space_z1": plots.latent_space(torch.randn(50, 2)),
        }


class Page(HTMLParser):
    """Checks that elements close in order, and collects what a reader would meet."""

    VOID = ("meta", "img", "br", "hr")

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.headings: list[str] = []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text.append(data)
        if self.open and self.open[-1] in ("h1", "h2", "h3"):
            self.headings.append(data)

    @property
    def words(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.text))

    def all(self, tag: str) -> Iterator[dict[str, str | None]]:
        return (attributes for name, attributes in self.elements if name == tag)


def is_self_contained(page: Page) -> bool:
    sources = [image["src"] or "" for image in page.all("img")]
    links = [name for name, _ in page.elements if name in ("script", "link", "iframe", "object")]
    style = re.findall(r"url\(|@import", page.source)
    return not links and not style and all(s.startswith("data:image/png;base64,") for s in sources)


def test_report_is_one_file(tmp_path: Path) -> None:
    path = write_report(FakeRun(tmp_path))
    page = Page(path)
    assert path == tmp_path / "report.html"
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]
    assert is_self_contained(page) and "http" not in page.source
    assert len(list(page.all("img"))) == 4
    assert all(image["alt"] and image["width"] for image in page.all("img"))
    assert any(meta.get("name") == "viewport" for meta in page.all("meta"))


def test_report_says_what_was_run(tmp_path: Path) -> None:
    page = Page(write_report(FakeRun(tmp_path)))
    told = ("Vamp(components=100)", "1 x 8 x 8", "171,088", "torch=2.15.0", "abc123", "27 seconds")
    told += ("5 epochs, the best is epoch 5", "-97.98 ± 1.22", "2.2087", "0.027", "60.00 / 1.50")
    told += ("12 %", "Before this number ranks models", "These are the data of training")
    missing = [words for words in told if words not in page.words]
    assert missing == ["27 seconds"]  # 27.5 is rounded to even
    assert "28 seconds" in page.words
    assert "optimizer" not in page.words


def test_report_has_sections_in_order(tmp_path: Path) -> None:
    headings = Page(write_report(FakeRun(tmp_path))).headings[1:]
    assert headings == [
        *("What was run", "Results", "Learning curves", "Latent space", "log p(x) per datum"),
        "unknown <figure>",
    ]


def test_report_speaks_of_the_curves_that_it_draws(tmp_path: Path) -> None:
    def note(term: str) -> str:
        rows = [{"epoch": i, f"train_{term}": 9 / i, "train_loss": 9 / i} for i in (1, 2, 3)]
        curves = {"learning_curves": plots.learning_curves(rows)}
        run = FakeRun(tmp_path, history=rows, figures=lambda: curves)
        return Page(write_report(run)).words.rpartition("Learning curves")[2]

    for term in ("elbo", "bound"):
        assert "The ELBO should rise" in note(term)
    for term in ("reconstruction", "other"):
        words = note(term)
        assert "The ELBO" not in words and "KL" not in words and "the loss is" in words


def test_report_escapes_text(tmp_path: Path) -> None:
    page = Page(write_report(FakeRun(tmp_path)))
    assert NASTY in page.words
    assert "<script" not in page.source and not list(page.all("script"))


@pytest.mark.parametrize("evidence", [[], [{**RECORD, "split": "train"}]])
def test_report_of_a_run_that_was_not_evaluated(tmp_path: Path, evidence: list[Any]) -> None:
    page = Page(write_report(FakeRun(tmp_path, evidence=evidence)))
    assert "not evaluated on held-out data" in page.words
    assert ("Results" in page.headings) is bool(evidence)


def test_report_of_next_to_nothing(tmp_path: Path) -> None:
    bare = {"config": {}, "data_summary": {}, "provenance": {}, "history": [], "evidence": []}
    page = Page(write_report(FakeRun(tmp_path, figures=dict, **bare), tmp_path / "other.html"))
    assert "not yet" in page.words


@pytest.mark.parametrize("absent", sorted(set(RECORD) - {"log_evidence"}))
def test_report_of_a_foreign_record(tmp_path: Path, absent: str) -> None:
    record = {key: value for key, value in RECORD.items() if key != absent}
    nothing = {key: None if key == absent else value for key, value in RECORD.items()}
    page = Page(write_report(FakeRun(tmp_path, evidence=[record, nothing], figures=dict)))
    assert "-97.98" in page.words


def test_report_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = write_report(FakeRun(tmp_path))
    before = path.read_bytes()

    def broken() -> dict[str, Any]:
        raise ValueError("no figures")

    with pytest.raises(ValueError, match="no figures"):
        write_report(FakeRun(tmp_path, figures=broken))
    assert path.read_bytes() == before

    with pytest.raises(OSError):
        write_report(FakeRun(tmp_path), tmp_path / "nowhere" / "report.html")
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


@pytest.mark.parametrize(
    ("change", "level", "words"),
    [
        ({"khat": {"share_over_0.7": 0.0}}, "good", "can be trusted"),
        ({"khat": {"share_over_0.7": 0.004}}, "fair", "under 1 %"),
        ({"khat": {"share_over_0.7": 0.12}}, "poor", "12 %: this is a lower bound"),
        ({"khat": {"share_over_0.7": None}}, "poor", "cannot be judged"),
        ({"khat": {"share_over_0.7": 0.0}, "monte_carlo_error": 1.0}, "fair", "more particles"),
        ({"khat": {"share_over_0.7": 0.0}, "standard_error": float("nan")}, "poor", "One datum"),
    ],
)
def test_verdict(change: dict[str, Any], level: str, words: str) -> None:
    found, sentences = verdict({**RECORD, **change})
    assert found == level
    assert words in sentences


def test_options_are_told_as_in_python() -> None:
    flow = {"class_path": "files/mine.py:Wide", "init_args": {"inner": {"class_path": "a.B"}}}
    assert describe(flow) == "files/mine.py:Wide(inner=B)"


def group(name: str, value: float, **more: Any) -> dict[str, Any]:
    shared = {"runs": 1, "standard_error_kind": "over data", "khat_share": 0.1, "parameters": 10}
    return {**RECORD, **shared, "name": name, "log_evidence": value, "comparable": True, **more}


def test_comparison_ranks_what_may_be_ranked(tmp_path: Path) -> None:
    groups = [
        group("worst", -99.0),
        group(NASTY, -95.5, description="The <best> one.", figures=FakeRun(tmp_path).figures()),
        group("apart", -12.0, comparable=False, reason="its particles is 100, not 500"),
        group("middle", -97.0, runs=3, standard_error_kind="over seeds"),
    ]
    page = Page(write_comparison(groups, tmp_path / "c.html", "Three <priors>"))
    assert page.headings[:3] == ["Three <priors>", "Not comparable", NASTY]
    assert is_self_contained(page) and len(list(page.all("img"))) == 5

    places = [page.words.index(name) for name in (NASTY, "middle", "worst", "apart")]
    assert places == sorted(places)
    for words in ("its particles is 100, not 500", "The <best> one.", "3.50", "over seeds where"):
        assert words in page.words


def test_comparison_of_runs_that_none_may_rank(tmp_path: Path) -> None:
    groups = [group("a", -1.0, comparable=False, reason="other data")]
    page = Page(write_comparison(groups, tmp_path / "c.html"))
    assert not list(page.all("img")) and "other data" in page.words


def test_comparison_shows_how_runs_were_trained(tmp_path: Path) -> None:
    history = ATTRIBUTES["history"]
    curves = [{"name": "late <one>", "histories": [history]}, {"name": "a", "histories": [history]}]
    page = Page(write_comparison([group("a", -1.0)], tmp_path / "c.html", curves=curves))
    assert page.headings == ["Comparison", "Learning curves"]
    assert is_self_contained(page) and len(list(page.all("img"))) == 2


def test_comparison_of_runs_without_curves(tmp_path: Path) -> None:
    curves = [{"name": "a", "histories": [[]]}]
    page = Page(write_comparison([group("a", -1.0)], tmp_path / "c.html", curves=curves))
    assert "There are no learning curves to draw" in page.words and len(list(page.all("img"))) == 1


def test_comparison_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no runs"):
        write_comparison([], tmp_path / "c.html")
