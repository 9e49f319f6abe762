"""Responses from events, from the dense matrix and from blocks of an HDF5 file are the same, and so are gradients."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from neurorbit.engine.data import DenseRecording, SpikeEvents, open_event_blocks, write_spike_events
from neurorbit.engine.models.convseq.config import AdamConfig, ConvseqConfig, FilterConfig, LossConfig, StoppingConfig
from neurorbit.engine.models.convseq.fitting import SpikeSource, fit
from neurorbit.engine.models.convseq.responses import Responder, responder
from neurorbit.engine.simulate import plant_sequences

N, T, W, P = 6, 400, 20, 10
X = np.random.default_rng(0).poisson(0.1, (N, T))
X[:, 100:180] = 0  # a block without any event
EVENTS = SpikeEvents.from_dense(X)


def written_out(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """o[t] = sum_n sum_lag w[n, lag] x[n, t - P + lag]."""
    wide = np.pad(x, ((0, 0), (P, P)))
    return np.array([(w * wide[:, t : t + W]).sum() for t in range(T + 2 * P - W + 1)])


def value_and_gradient(respond: Responder, w: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    w = w.clone().requires_grad_()
    o = respond(w)
    (dw,) = torch.autograd.grad((o * torch.sin(torch.arange(o.shape[-1]))).sum(), w)
    return o.detach(), dw


@pytest.mark.parametrize("E", [1, 3])
@pytest.mark.parametrize("block_bins", [37, 40, 5000])
def test_events_dense_and_blocks_agree(tmp_path: Path, E: int, block_bins: int) -> None:
    w = torch.rand(E, 2, N, W, generator=torch.Generator().manual_seed(E))
    blocks = open_event_blocks(write_spike_events(tmp_path / "x.h5", EVENTS), block_bins=block_bins, width=W, padding=P)
    o, dw = value_and_gradient(responder(EVENTS, P), w)
    for e in range(E):
        for k in range(2):
            assert np.allclose(o[e, k], written_out(X, w[e, k].numpy()), rtol=1e-4, atol=1e-4)
    for other in (DenseRecording.from_array(X), blocks):
        found = value_and_gradient(responder(other, P), w)
        assert torch.allclose(found[0], o, rtol=1e-5, atol=1e-5)
        assert torch.allclose(found[1], dw, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dense", [False, True])
def test_a_recording_per_model(dense: bool) -> None:
    parts = [EVENTS, EVENTS.shuffled(np.random.default_rng(1)), EVENTS.shuffled(np.random.default_rng(2))]
    w = torch.rand(3, 2, N, W, generator=torch.Generator().manual_seed(0))
    given = [DenseRecording.from_array(p.dense()) for p in parts] if dense else parts
    o, dw = value_and_gradient(responder(given, P), w)
    for e, part in enumerate(parts):
        alone = value_and_gradient(responder(part, P), w[e : e + 1])
        assert torch.allclose(o[e], alone[0][0], rtol=1e-5, atol=1e-5)
        assert torch.allclose(dw[e], alone[1][0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("layout", ["events", "transposed matrix"])
def test_training_from_hdf5_block_by_block_is_training_in_memory(tmp_path: Path, layout: str) -> None:
    """The loss of the whole recording, not of a block: the filters after many steps are the same."""
    recording = plant_sequences(seqlen=12, gap_ts=80, n_neurons=20, n_bins=1000, rate_hz=0.2, jitter_std=2).events
    path = tmp_path / "x.h5"
    if layout == "events":
        write_spike_events(path, recording)
    else:
        with h5py.File(path, "w") as file:
            file["x"] = recording.dense().T
    config = ConvseqConfig(
        epochs=40,
        width=30,
        filters=2,
        runs=2,
        block_bins=170,
        model=FilterConfig(loadings=True),
        loss=LossConfig(total_variation=8.0, cross_correlation=10.0, power_entropy=0.1),
        training=AdamConfig(log_every=20),
        stopping=StoppingConfig(patience=0),
    )
    source = SpikeSource(str(path), bin_s=0.02 if layout != "events" else None, transpose=layout != "events")
    blocks = source.open(config)
    assert len(blocks) == 6 and blocks.bin_s == (0.05 if layout == "events" else 0.02)
    a = fit(config, recording).fitted
    b = fit(config, blocks, tmp_path / "run", source=source).fitted
    assert torch.allclose(a.loss, b.loss, rtol=1e-4)
    assert (a.w() - a.initial_w()).abs().max() > 0.1
    assert (a.w() - b.w()).abs().max() < 1e-4
    assert torch.allclose(a.respond(recording), b.respond(blocks), rtol=1e-3, atol=1e-3)


def test_blocks_of_other_filters_are_refused(tmp_path: Path) -> None:
    blocks = open_event_blocks(write_spike_events(tmp_path / "x.h5", EVENTS), block_bins=50, width=W, padding=P)
    for config in (ConvseqConfig(width=W + 2), ConvseqConfig(width=W, model=FilterConfig(padding=3))):
        with pytest.raises(ValueError, match="expected blocks for width"):
            fit(config, blocks)
