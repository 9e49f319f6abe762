import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from neurorbit.engine.plots import (
    FixedPointSet,
    Section,
    measures_table,
    plrnn_figures,
    save_figures,
    write_plrnn_report,
    write_report,
)
from neurorbit.engine.plots.arguments import measure_columns

NASTY = '<script>alert("x")</script> & <b>'


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.cells: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in ("meta", "img"):
            self.open.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href", "srcset")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "td":
            self.cells.append(data)


def line_figure() -> Figure:
    figure = Figure(figsize=(2, 1))
    figure.add_subplot().plot([0, 1], [0, 1])
    return figure


def pixels(png: bytes) -> np.ndarray:
    return matplotlib.image.imread(io.BytesIO(png), format="png")


def self_contained(path: Path) -> Page:
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert not page.open
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    bare = re.sub(r"base64,[A-Za-z0-9+/=]+", "", text)
    assert "http" not in bare and "url(" not in bare and "@import" not in bare and "file:" not in bare
    for source in page.sources:
        assert source.startswith("data:image/png;base64,")
        assert pixels(base64.b64decode(source.split(",", 1)[1], validate=True))[..., :3].std() > 0.01
    return page


def test_report_is_whole_in_itself_and_escapes_all_text(tmp_path):
    sections = [
        Section(
            NASTY, f"one {NASTY}\n\ntwo", [(line_figure(), NASTY + '"')], (["a", NASTY], [[1, NASTY], [2.0, None]])
        ),
        Section("plain"),
    ]
    path = write_report(tmp_path / "new" / "report.html", NASTY, NASTY, sections)
    page = self_contained(path)
    assert page.tags.count("img") == 1 and page.tags.count("p") == 3 and page.tags.count("section") == 2
    assert "b" not in page.tags
    assert page.cells == ["1", NASTY, "2", "–"]
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]


def test_report_shows_numbers_briefly(tmp_path):
    row = [0.123456, -1.5, float("nan"), torch.tensor(2.0), "word", True, 10]
    page = self_contained(write_report(tmp_path / "r.html", "t", "", [Section("s", table=(list("abcdefg"), [row]))]))
    assert page.cells == ["0.1235", "−1.5", "–", "2", "word", "True", "10"]
    with pytest.raises(ValueError, match="table: expected 2 cells per row"):
        write_report(tmp_path / "other.html", "t", "", [Section("s", table=(["a", "b"], [[1]]))])
    assert not (tmp_path / "other.html").exists()


def test_a_failed_write_leaves_the_old_report_and_nothing_else(tmp_path, monkeypatch):
    path = write_report(tmp_path / "r.html", "old", "", [])
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("neurorbit.engine.whole_files.os.fsync", full)
    with pytest.raises(OSError, match=r"r\.html: could not be written \(No space left on device\)"):
        write_report(path, "new", "", [])
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["r.html"]


def test_figures_are_saved_as_pictures_that_are_not_blank(tmp_path):
    paths = save_figures(tmp_path / "figures", {"one": line_figure(), "two": line_figure()})
    assert sorted(p.name for p in (tmp_path / "figures").iterdir()) == ["one.png", "two.png"]
    image = pixels(paths["one"].read_bytes())
    assert image.shape[:2] == (150, 300) and image[..., :3].std() > 0.01
    assert paths["one"].read_bytes() == paths["two"].read_bytes()
    with pytest.raises(ValueError, match="plain names"):
        save_figures(tmp_path, {"../out": line_figure()})


def ensemble(n: int = 3, steps: int = 600) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    t = np.arange(steps + 50) * 0.1
    x = np.stack([np.cos((i + 1) * t) for i in range(n)], axis=1)
    runs = np.stack([x[k : steps + k] + 0.05 * rng.standard_normal((steps, n)) for k in range(4)])
    return x[:steps], runs


def metric_rows() -> list[dict[str, object]]:
    return [
        {"step": s, "run": e, "loss": (1 + e) / s, "forcing_alpha": 0.5, "d_stsp": 3 / s}
        for s in (1, 50)
        for e in range(4)
    ]


def test_plrnn_report_draws_everything_that_is_given(tmp_path):
    x, runs = ensemble()
    nan = float("nan")
    runs[2, 100:] = nan
    measures = [
        {"run": e, "d_stsp": v, "d_h": 0.1, "lyapunov_max": m, "lyapunov": [m, 0.0, -14.0]}
        for e, (v, m) in enumerate([(0.1, 0.9), (0.2, 0.92), (nan, nan), (0.4, 0.85)])
    ]
    path = write_plrnn_report(
        tmp_path / "demo", torch.tensor(x), torch.tensor(runs), metric_rows(), measures,
        truth={"lyapunov": [0.906, 0.0, -14.57], "fixed_points": np.zeros((1, 3))}, targets={"d_stsp": 0.5},
        fixed_points=[FixedPointSet(np.zeros((1, 3)), [1])] * 4, x_forecast=runs, dt=0.01, title="A & B",
    )  # fmt: skip
    assert path == tmp_path / "demo" / "report.html"
    names = {"attractors", "runs", "time_series", "power_spectra", "training", "exponents", "measures", "fixed_points"}
    pictures = list((tmp_path / "demo" / "figures").iterdir())
    assert {p.name for p in pictures} == {f"{name}.png" for name in names}
    for picture in pictures:
        assert pixels(picture.read_bytes())[..., :3].std() > 0.01
    page = self_contained(path)
    assert page.tags.count("img") == len(names)
    assert page.cells[:4] == ["median", "0.2", "0.1", "0.9"]
    text = path.read_text(encoding="utf-8")
    assert "run 2 (step 100)" in text and "Run 1 is the middle one" in text and "A &amp; B" in text
    assert "0.906" in page.cells  # lyapunov_max of the truth follows from the list


def test_measures_may_come_as_columns_with_other_entries():
    x, runs = ensemble()
    columns = {
        "d_stsp": torch.tensor([0.1, 0.2, 0.3, 0.4]),
        "lyapunov": torch.zeros(4, 3),
        "lyapunov_max": torch.zeros(4),
        "variants": {"d_stsp": "gtf2023"},
        "dropped_rows": 0,
    }
    figures = plrnn_figures(x, runs, None, columns, dt=0.01)
    assert set(figures) == {"attractors", "runs", "time_series", "power_spectra", "exponents", "measures"}
    assert len(figures["measures"].axes) == 2 and len(figures["exponents"].axes) == 2


@pytest.mark.parametrize("n", [1, 2, 5])
def test_every_run_diverged_still_makes_a_report(tmp_path, n):
    x, runs = ensemble(n)
    nan = float("nan")
    measures = [{"d_stsp": nan, "lyapunov_max": nan}] * 4
    rows = [{"step": 1, "run": e, "loss": nan} for e in range(4)] + [{"step": 0, "run": 0, "loss": 1.0}]
    path = write_plrnn_report(tmp_path, x, np.full_like(runs, nan), rows, measures, fixed_points=[])
    assert self_contained(path).tags.count("img") >= 7


def test_missing_observations_in_the_true_data_are_drawn_around(tmp_path):
    x, runs = ensemble(2)
    x[10:20] = np.nan
    x[300:, 1] = np.nan
    self_contained(write_plrnn_report(tmp_path, x, runs[:1]))
    assert not (tmp_path / "figures" / "runs.png").exists()  # one run needs no gallery


def test_disagreeing_numbers_of_runs_are_named(tmp_path):
    x, runs = ensemble()
    with pytest.raises(ValueError, match="measures: expected one dict per run, 4 as in x_generated, got 2"):
        write_plrnn_report(tmp_path / "a", x, runs, None, [{"d_stsp": 1.0}] * 2)
    with pytest.raises(ValueError, match="measures: expected 4 values each, one per run of x_generated, got d_stsp 3"):
        plrnn_figures(x, runs, None, {"d_stsp": torch.zeros(3)})
    with pytest.raises(ValueError, match="x_forecast: expected 4 runs"):
        plrnn_figures(x, runs, x_forecast=runs[:2])
    assert not (tmp_path / "a").exists()


def test_table_holds_median_spread_truth_and_every_run():
    head, rows = measures_table([{"d_h": v} for v in (1.0, 2.0, 6.0)], truth={"d_h": 2.5})
    assert head == ["", "D_H, spectral distance"]
    assert rows == [["median", 2.0], ["MAD", 1.0], ["truth", 2.5], ["run 0", 1.0], ["run 1", 2.0], ["run 2", 6.0]]


def test_what_names_a_run_is_no_measure():
    runs = [{"run": e, "seed": 7 + e, "settings": {"alpha": 0.5 * e, "hidden_dim": 8}, "d_h": 1.0} for e in range(2)]
    head, rows = measures_table(runs)
    assert head == ["", "D_H, spectral distance"]
    assert [row[0] for row in rows[2:]] == ["run 0 alpha 0 hidden_dim 8", "run 1 alpha 0.5 hidden_dim 8"]
    assert list(measure_columns(runs)) == ["d_h"]


@pytest.mark.parametrize("as_columns", (False, True))
def test_runs_that_diverged_in_training_are_named_and_count_nowhere(tmp_path, as_columns):
    x, runs = ensemble()
    runs = np.array(runs)
    runs[1] = np.nan
    values = (0.1, 9.0, 0.3, 0.5)
    rows = [{"run": e, "d_stsp": value, "lyapunov": [value]} for e, value in enumerate(values)]
    measures = {"d_stsp": np.array(values)} if as_columns else rows
    report = self_contained(write_plrnn_report(tmp_path, x, runs, None, measures, diverged=[1]))
    text = (tmp_path / "report.html").read_text()
    assert "Left out, as they diverged in training: run 1." in text and "Diverged while generating" not in text
    assert report.tags.count("img") >= 5
    assert ">0.3<" in text and ">9<" not in text
