"""The published null: moments and histogram of streamed responses, and its cache."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from neurorbit.engine.data import DenseRecording, SpikeEvents, open_event_blocks, write_spike_events
from neurorbit.engine.models.convseq import null as module
from neurorbit.engine.models.convseq.null import Null, random_null

X = np.random.default_rng(0).poisson(0.05, (8, 500))
EVENTS = SpikeEvents.from_dense(X)
SIZES: dict[str, Any] = {"width": 20, "padding": 10, "n_filters": 120}


def responses(gaussian: float | None = None, n: int = 120) -> np.ndarray:
    """All responses at once, from the dense matrix; the filters are drawn 50 at a time."""
    generator = torch.Generator().manual_seed(0)
    wide, found = np.pad(X, ((0, 0), (10, 10))), []
    windows = np.lib.stride_tricks.sliding_window_view(wide, 20, axis=1)  # [N, T', W]
    for first in range(0, n, 50):
        K = min(50, n - first)
        if gaussian is None:
            drawn = torch.randn(1, K, 8, 20, generator=generator)[0].double()
            w = (drawn.exp() / drawn.exp().sum(-1, keepdim=True)).numpy()
        else:
            middle = 1 + 19 * torch.rand(1, K, 8, 1, generator=generator)[0].double().numpy()
            w = np.exp(-((np.arange(1, 21) - middle) ** 2) / (2 * gaussian**2))
        found.append(np.einsum("knl,ntl->kt", w, windows))
    return np.concatenate(found).ravel()


@pytest.mark.parametrize("gaussian", [None, 3.0])
def test_moments_and_threshold(gaussian: float | None) -> None:
    o, found = responses(gaussian), random_null(EVENTS, gaussian=gaussian, **SIZES)
    assert (found.n_values, found.n_filters) == (len(o), 120)
    assert found.mean == pytest.approx(o.mean(), rel=1e-5) and found.sd == pytest.approx(o.std(), rel=1e-5)
    assert found.threshold == pytest.approx(o.mean() + 5 * o.std(), rel=1e-5)


def test_histogram_and_tail() -> None:
    o, found = responses(), random_null(EVENTS, **SIZES)
    assert found.counts.sum() == len(o) and found.edges.shape == (2001,)
    first = o[: 50 * 501]
    assert found.edges[0] == pytest.approx(first.mean() - 6 * first.std(), abs=1e-4)
    assert found.edges[-1] == pytest.approx(first.mean() + 14 * first.std(), abs=1e-4)
    expected = np.histogram(o, found.edges)[0]
    assert np.abs(np.cumsum(found.counts) - np.cumsum(expected)).max() <= 5e-4 * len(o)  # float32 at the edges of bins
    heights = np.quantile(o, [0.1, 0.5, 0.9, 0.999])
    share = [(o >= h).mean() for h in heights]
    width = (found.edges[1] - found.edges[0]) * len(o)
    assert np.allclose(found.exceeding(heights), share, atol=3 * found.counts.max() / len(o)) and width > 0
    assert found.exceeding(np.array([-100.0]))[0] == 1.0
    assert found.exceeding(np.array([o.max() + 100]))[0] == 1 / len(o)


def test_a_height_beyond_the_histogram_is_as_likely_as_its_last_bin() -> None:
    counts = np.array([90, 5, 5])
    found = Null(0.0, 1.0, 100, 2, np.array([0.0, 1.0, 2.0, 3.0]), counts)
    assert found.exceeding(np.array([-1.0, 0.5, 1.0, 2.5, 50.0])).tolist() == [1.0, 1.0, 0.1, 0.05, 0.05]


def test_any_form_of_the_recording_gives_the_same(tmp_path: Path) -> None:
    expected = random_null(EVENTS, **SIZES)
    blocks = open_event_blocks(write_spike_events(tmp_path / "x.h5", EVENTS), block_bins=90, width=20, padding=10)
    for other in (DenseRecording.from_array(X), blocks):
        found = random_null(other, **SIZES)
        assert (found.mean, found.sd) == pytest.approx((expected.mean, expected.sd), rel=1e-6)
        assert np.abs(np.cumsum(found.counts) - np.cumsum(expected.counts)).max() < 1e-3 * found.n_values


class Counting:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.largest, self.calls = 0, 0
        original = module.responder

        def counted(*words: Any, **named: Any) -> Any:
            respond = original(*words, **named)

            def one(w: torch.Tensor) -> torch.Tensor:
                self.calls += 1
                self.largest = max(self.largest, w.shape[0] * w.shape[1])
                return respond(w)

            return one

        monkeypatch.setattr(module, "responder", counted)


def test_responses_come_in_batches_of_50_and_a_second_call_reads_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting = Counting(monkeypatch)
    first = random_null(EVENTS, cache=tmp_path / "deep" / "cache", **SIZES)
    assert (counting.calls, counting.largest) == (3, 50)
    second = random_null(EVENTS, cache=tmp_path / "deep" / "cache", **SIZES)
    assert counting.calls == 3
    assert (first.mean, first.sd, first.n_values, first.n_filters, first.threshold) == (
        second.mean, second.sd, second.n_values, second.n_filters, second.threshold,
    )  # fmt: skip
    assert np.array_equal(first.edges, second.edges) and np.array_equal(first.counts, second.counts)
    renamed = SpikeEvents.from_dense(X, name="another name", bin_s=0.1)
    random_null(renamed, cache=tmp_path / "deep" / "cache", **SIZES)
    assert counting.calls == 3  # by content


@pytest.mark.parametrize(
    "changed", [{"width": 21}, {"padding": 9}, {"n_filters": 119}, {"seed": 1}, {"gaussian": 2.0}, {"recording": 1}]
)
def test_other_settings_and_recordings_have_files_of_their_own(tmp_path: Path, changed: dict[str, Any]) -> None:
    a = random_null(EVENTS, cache=tmp_path, **SIZES)
    settings = SIZES | changed
    recording = EVENTS.shuffled(np.random.default_rng(0)) if settings.pop("recording", 0) else EVENTS
    b = random_null(recording, cache=tmp_path, **settings)
    assert len(list(tmp_path.glob("null_*.json"))) == 2 and a.mean != b.mean
    assert b.mean == random_null(recording, **settings).mean


@pytest.mark.parametrize("damage", ["cut", "edited", "list"])
def test_a_damaged_cache_file_is_refused(tmp_path: Path, damage: str) -> None:
    random_null(EVENTS, cache=tmp_path, **SIZES)
    (path,) = tmp_path.iterdir()
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-50])
    elif damage == "edited":
        path.write_text(json.dumps(json.loads(path.read_text()) | {"mean": 0.0}))
    else:
        path.write_text("[1, 2]")
    with pytest.raises(ValueError, match="cut or edited") as error:
        random_null(EVENTS, cache=tmp_path, **SIZES)
    assert str(path) in str(error.value)


def test_too_few_filters() -> None:
    with pytest.raises(ValueError, match="n_filters: expected 2 or more, got 1"):
        random_null(EVENTS, width=20, padding=10, n_filters=1)
