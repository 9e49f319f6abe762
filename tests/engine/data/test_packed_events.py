"""Recordings as event_projection reads them: whole, in blocks, dense."""

from pathlib import Path

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurorbit.bindings.event_projection import event_projection
from neurorbit.engine.data import SpikeEvents, open_event_blocks, write_spike_events


@settings(deadline=None, max_examples=40)
@given(
    events=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 29), st.integers(1, 3)), min_size=1),
    seed=st.integers(0, 1000),
)
def test_packed_events_are_the_matrix(events: list[tuple[int, int, int]], seed: int) -> None:
    neurons, times, counts = np.array(events).T
    recording = SpikeEvents.from_events(neurons, times, counts, n_neurons=5, n_bins=30)
    packed = recording.packed("cpu")
    back = np.zeros((5, 30), int)
    back[packed.neurons, packed.times] = packed.counts
    assert np.array_equal(back, recording.dense())
    assert len(packed.neurons) == len(recording) and (packed.n_neurons, packed.n_bins) == (5, 30)
    w = torch.randn(2, 3, 5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    x = torch.from_numpy(recording.dense()).double()[None]
    found = event_projection(w, packed, padding=3, backend="reference").o
    torch.testing.assert_close(found, event_projection(w, x=x, padding=3, backend="reference").o)
    conv = torch.nn.functional.conv1d(x, w.reshape(6, 5, 7), padding=3).reshape(2, 3, -1)
    torch.testing.assert_close(found, conv)


def test_blocks_of_a_file_give_the_response_and_its_gradient(tmp_path: Path) -> None:
    """An eighth of the response at a time, padding 0 in every block."""
    generator = torch.Generator().manual_seed(0)
    x = np.random.default_rng(0).poisson(0.05, (9, 400))
    recording = SpikeEvents.from_dense(x)
    path = write_spike_events(tmp_path / "a.h5", recording)
    w = torch.randn(2, 3, 9, 20, dtype=torch.float64, generator=generator).requires_grad_()
    blocks = open_event_blocks(path, block_bins=51, width=20, padding=10)
    assert len(blocks) == 8
    parts = [event_projection(w, events.packed(), padding=0).o for _, _, events in blocks]
    whole = event_projection(w, recording.packed(), padding=10).o
    torch.testing.assert_close(torch.cat(parts, -1), whole, rtol=0.0, atol=1e-13)
    do = torch.randn(whole.shape, dtype=torch.float64, generator=generator)
    (expected,) = torch.autograd.grad(whole, w, do)
    found = sum(
        torch.autograd.grad(part, w, do[..., t0:t1].contiguous())[0]
        for (t0, t1, _), part in zip(blocks, parts, strict=True)
    )
    torch.testing.assert_close(found, expected, rtol=0.0, atol=1e-12)
