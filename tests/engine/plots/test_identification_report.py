"""What a report of an identification holds: each figure stands for what was given, tables and page are whole."""

import base64
import math
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from neurorbit.engine.data.network_truth import NetworkTruth
from neurorbit.engine.plots import (
    IdentificationResults,
    RecoveredNetwork,
    identification_figures,
    write_identification_report,
)
from neurorbit.engine.plots.identification_figures import hidden_order
from neurorbit.engine.plots.identification_report import (
    identification_intro,
    identification_sections,
    identification_table,
)

N, H, B, T = 16, 8, 3, 300
PREFERRED = np.arange(N) * 2 * math.pi / N
RING = np.cos(PREFERRED[None] - PREFERRED[:, None])
SHUFFLED = np.random.default_rng(0).permutation(N)


def bumps(heading: np.ndarray, preferred: np.ndarray) -> np.ndarray:
    return np.exp(3 * (np.cos(heading[..., None] - preferred) - 1))


def ring(**changes) -> IdentificationResults:
    """A ring whose units come in a random order; half of the hidden units fire for v > 0 and push ahead by 0.6."""
    rng = np.random.default_rng(1)
    velocity = rng.normal(0, 2, (B, T, 1))
    heading = np.cumsum(0.05 * velocity[..., 0], 1) % (2 * math.pi)
    preferred = PREFERRED[SHUFFLED]
    own = 0.3 + np.arange(H) // 2 * math.pi / 2
    side = np.where(np.arange(H) % 2 == 0, 1.0, -1.0)
    hidden = bumps(heading, own) / (1 + np.exp(-side * velocity))
    W = np.zeros((2, N + H, N + H))
    W[:, :N, :N] = RING[np.ix_(SHUFFLED, SHUFFLED)] + 0.1 * rng.standard_normal((2, N, N))
    W[:, N:, :N] = np.cos(preferred[None] - (own + 0.6 * side)[:, None])
    x = bumps(heading, preferred)
    recovered = RecoveredNetwork(
        W, np.concatenate([x, hidden], -1), silent=heading[:, :50],
        slow=SimpleNamespace(points=np.zeros((2, N + H)), speed=np.zeros(2), eigenvalues=np.ones((2, N + H)) + 0j,
                             stability=("stable", "saddle")),
        measures=[
            {"run": 0, "seed": 3, "loss": 0.1, "kernel_correlation": 0.9, "shifter_offsets_rad": [0.6, -0.5]},
            {"run": 1, "seed": 4, "loss": 0.2, "kernel_correlation": None, "shifter_offsets_rad": [0.7, None]},
        ],
    )  # fmt: skip
    truth = NetworkTruth("ring", RING, None, None, SHUFFLED, PREFERRED, np.zeros(N, np.int64), {})
    values = {
        "activity": x, "inputs": torch.as_tensor(velocity), "recovered": recovered, "headings": heading,
        "truth": truth, "dt_s": 0.025,
    }  # fmt: skip
    return IdentificationResults(**{**values, **changes})


def control() -> RecoveredNetwork:
    results = ring()
    return RecoveredNetwork(
        results.recovered.weights[:, :N, :N], results.x, label="control", measures=[{"kernel_correlation": 0.5}]
    )


def torus() -> IdentificationResults:
    side, rng = 8, np.random.default_rng(0)
    place = np.stack(np.meshgrid(np.arange(side), np.arange(side), indexing="ij"), -1).reshape(-1, 2) * 1.0
    position = rng.uniform(0, side, (2, 400, 2))
    away = (position[:, :, None] - place + side / 2) % side - side / 2
    x = np.exp(-0.5 * (away**2).sum(-1))
    near = (place[None] - place[:, None] + side / 2) % side - side / 2
    W = np.exp(-0.5 * (near**2).sum(-1))
    truth = NetworkTruth(
        "torus", W, None, None, np.arange(64), place, np.zeros(64, np.int64), {"period": float(side), "side": side}
    )
    return IdentificationResults(x, rng.normal(0, 1, (2, 400, 2)), RecoveredNetwork(W, x), position, truth=truth)


ALWAYS = {"connectivity", "eigenvalues", "activity"}
ON_RING = {"tuning", "matrices", "kernels", "free_run", "shifters", "unit_maps", "slow_points", "measures"}


def test_each_figure_stands_for_what_was_given() -> None:
    results = ring()
    assert set(identification_figures(results)) == ALWAYS | ON_RING
    bare = RecoveredNetwork(results.recovered.W)
    assert set(identification_figures(replace(results, recovered=bare, headings=None))) == ALWAYS
    few = {"tuning", "matrices", "kernels"}
    assert set(identification_figures(replace(results, recovered=bare, truth=None))) == ALWAYS | few
    named = replace(results, recovered=bare, headings=None, preferred=PREFERRED[SHUFFLED])
    assert set(identification_figures(named)) == ALWAYS | {"matrices", "kernels"}
    both = replace(results, control=control(), metrics=[{"step": s, "run": 0, "loss": 1 / s} for s in (1, 2)])
    more = {"free_run_control", "shifters_control", "unit_maps_control", "training"}
    assert set(identification_figures(both)) == ALWAYS | ON_RING | more


def test_figures_of_a_sheet() -> None:
    names = {"maps", "maps_free_run", "grid_scores", "sheet", "sheet_kernels", "connectivity", "eigenvalues"}
    figures = identification_figures(torus())
    assert set(figures) == names
    true, found = (figures["sheet_kernels"].axes[k].images[0].get_array() for k in (0, 1))
    np.testing.assert_allclose(true, found)
    assert np.unravel_index(np.argmax(true), true.shape) == (4, 4)


def test_a_report_explains_the_measures_of_its_own_system(tmp_path: Path) -> None:
    sheet = torus()
    sheet = replace(sheet, recovered=replace(sheet.recovered, measures=[{"grid_score": 1.0}]))
    for name, results, own, other in (("a", sheet, "Grid score:", "Shifter"), ("b", ring(), "Shifter", "Grid score:")):
        page = write_identification_report(tmp_path / name, results).read_text()
        assert own in page and other not in page


def test_free_runs_that_leave_the_finite_numbers_are_not_drawn() -> None:
    results = ring()
    rates = np.array(results.recovered.rates)
    rates[1, 200:, 3] = np.inf
    figures = identification_figures(replace(results, recovered=replace(results.recovered, rates=rates)))
    assert set(figures) == ALWAYS | ON_RING - {"free_run", "shifters", "unit_maps", "slow_points"}
    W = np.array(results.recovered.W)
    W[1] = np.nan
    figures = identification_figures(replace(results, recovered=replace(results.recovered, W=W)))
    assert len([line for line in figures["kernels"].axes[0].get_lines() if line.get_color() == "#D55E00"]) == 2
    with pytest.raises(ValueError, match="W: run 1 is not finite"):
        identification_figures(replace(results, recovered=replace(results.recovered, W=W, run=1)))


def test_recovered_matrices_are_sorted_like_the_truth() -> None:
    figure = identification_figures(ring())["matrices"]
    titles = [axes.get_title(loc="left").split("\n")[0] for axes in figure.axes if axes.images]
    images = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    assert titles == ["truth", "recovered"]
    rolled = min(np.abs(images[0] - np.roll(RING, (k, k), (0, 1))).max() for k in range(N))
    assert rolled < 1e-12 and np.corrcoef(images[0].ravel(), images[1].ravel())[0, 1] > 0.98


def test_hidden_units_are_sorted_by_population_and_heading() -> None:
    results = ring()
    found = results.shifters(results.recovered)
    assert found is not None
    shifters = found[0]
    assert hidden_order(shifters).tolist() == [0, 2, 4, 6, 1, 3, 5, 7]
    np.testing.assert_allclose(shifters.median_offsets_rad, [0.6, -0.6], atol=0.15)


def test_the_report_is_whole_in_itself(tmp_path) -> None:
    results = replace(ring(), control=control(), settings={"hidden": H, "model": {"rank": 12}})
    path = write_identification_report(tmp_path / "out", results, title="A & B")
    page = path.read_text(encoding="utf-8")
    assert path == tmp_path / "out" / "report.html" and "<title>A &amp; B</title>" in page
    pictures = [base64.b64decode(p) for p in re.findall(r"data:image/png;base64,([^\"]+)", page)]
    written = sorted((path.parent / "figures").glob("*.png"))
    assert sorted(pictures) == sorted(p.read_bytes() for p in written)
    assert {p.stem for p in written} == set(identification_figures(results))
    assert "model.rank" in page and not re.search(r"(src|href)=\"(?!data:)|<script", page)


def test_sections_of_what_is_not_there_are_left_out() -> None:
    results = ring()
    pictures = dict.fromkeys(("measures", "activity", "kernels", "shifters_control", "training"), b"png")
    sections = identification_sections(results, pictures)
    found = {section.heading: [caption for _, caption in section.figures] for section in sections}
    assert list(found) == ["Measures", "Activity", "Connectivity", "The control", "Training"]
    assert all(len(captions) == 1 and len(captions[0]) > 20 for captions in found.values())
    bare = replace(results, recovered=RecoveredNetwork(np.eye(N)), settings={"runs": 4})
    assert [section.heading for section in identification_sections(bare, {})] == ["Settings"]


def test_table_of_measures() -> None:
    results = replace(ring(), control=control())
    head, rows = identification_table(results.networks(), {"kernel_correlation": 0.95})
    assert head == [
        "", "kernel correlation", "shifter offsets, v > 0 (rad)", "shifter offsets, v < 0 (rad)"
    ]  # fmt: skip
    table = {row[0]: row[1:] for row in rows}
    assert list(table) == [
        "recovered: median", "recovered: MAD", "control: median", "control: MAD", "target",
        "recovered: run 0", "recovered: run 1", "control: run 0",
    ]  # fmt: skip
    np.testing.assert_allclose(table["recovered: median"], [0.9, 0.65, -0.5])
    np.testing.assert_allclose(table["recovered: run 1"], [np.nan, 0.7, np.nan])
    assert table["control: median"] == [0.5, None, None]
    np.testing.assert_allclose(table["target"], [0.95, np.nan, np.nan])


def test_intro_counts() -> None:
    results = replace(ring(), control=control())
    assert identification_intro(results) == (
        "2 runs of 16 observed units and 8 hidden units, against 3 trials of 7.5 s (300 steps). Beside them 2 runs of "
        "the control. The true connectivity is known."
    )
    bare = IdentificationResults(results.x, results.u, RecoveredNetwork(np.eye(N)))
    assert identification_intro(bare) == "1 run of 16 observed units and no hidden unit, against 3 trials (300 steps)."


def test_runs_that_were_left_out_are_named() -> None:
    results = ring()
    rows = [{"run": 1, "kernel_correlation": 0.9}, {"run": 4, "kernel_correlation": 0.8}]
    kept = replace(results.recovered, measures=rows, diverged=[0, 2, 3])
    _, table = identification_table(replace(results, recovered=kept).networks())
    assert [row[0] for row in table] == ["median", "MAD", "run 1", "run 4"]
    words = identification_intro(replace(results, recovered=kept))
    assert words.endswith(" Left out, as they diverged in training: 3 runs of recovered (0, 2, 3).")


def test_bad_results() -> None:
    results = ring()
    with pytest.raises(ValueError, match=r"inputs: expected \[B=3, T=300, U\], got \[3, 299, 1\]"):
        identification_figures(replace(results, inputs=results.u[:, 1:]))
    with pytest.raises(ValueError, match=r"headings: expected \[B=3, T=300\] as in activity, got \[3, 299\]"):
        identification_figures(replace(results, headings=results.heading[:, 1:]))
    with pytest.raises(ValueError, match=r"preferred: expected \[n=16\] as in activity, got \[15\]"):
        identification_figures(replace(results, preferred=PREFERRED[1:]))
    with pytest.raises(ValueError, match=r"W: expected N >= n=16 observed units, got \[1, 3, 3\]"):
        identification_figures(replace(results, recovered=RecoveredNetwork(np.eye(3))))
    with pytest.raises(ValueError, match=r"W: expected \[E, N, N\], got \[1, 3, 4\]"):
        identification_figures(replace(results, recovered=RecoveredNetwork(np.ones((1, 3, 4)))))
    with pytest.raises(ValueError, match="run: expected 0 to E - 1 = 1, got 2"):
        identification_figures(replace(results, recovered=replace(results.recovered, run=2)))
    with pytest.raises(ValueError, match=r"rates: expected \[B=3, T=300, N=24\], got \[3, 300, 16\]"):
        identification_figures(replace(results, recovered=replace(results.recovered, rates=results.x)))
    truth = NetworkTruth("ring", RING, None, None, np.arange(4), PREFERRED, np.zeros(N, np.int64), {})
    with pytest.raises(ValueError, match="truth: expected n=16 observed units as in activity, got 4"):
        identification_figures(replace(results, truth=truth))
