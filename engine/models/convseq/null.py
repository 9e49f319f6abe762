"""The published null distribution: responses of random filters, as moments and a histogram; cached by content."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from neurorbit.engine.models.convseq.responses import Recording, responder
from neurorbit.engine.whole_files import read_json, write_json

BATCH = 50
SDS = 5.0
BINS = 2000
FORMAT = 1


@dataclass(frozen=True, eq=False)
class Null:
    """Responses of random filters: mean, standard deviation, histogram, and the threshold mean + 5 sd."""

    mean: float
    sd: float
    n_values: int
    n_filters: int
    edges: np.ndarray  # [BINS + 1]; values outside count in the first and last bin
    counts: np.ndarray  # [BINS]

    @property
    def threshold(self) -> float:
        """mean + 5 sd, as published."""
        return self.mean + SDS * self.sd

    def exceeding(self, heights: np.ndarray) -> np.ndarray:
        """Share of the null's values at or above each height, to the width of a bin; at least 1 / n_values."""
        above = np.cumsum(self.counts[::-1])[::-1]
        place = np.clip(np.searchsorted(self.edges, heights, side="right") - 1, 0, len(self.counts) - 1)
        return np.maximum(above[place], 1) / self.n_values


def random_null(
    recording: Recording,
    *,
    width: int,
    padding: int,
    n_filters: int,
    gaussian: float | None = None,
    seed: int = 0,
    backend: str | None = None,
    device: torch.device | str = "cpu",
    cache: str | os.PathLike[str] | None = None,
) -> Null:
    """Responses of filters that are the softmax over W lags of standard normals, as published.

    Args:
        recording: events, dense activity, or blocks of a file.
        gaussian: standard deviation in bins of Gaussian filters at random lags instead, for models made of those.
        n_filters: 15000 as published. The responses themselves are never kept.
        cache: folder in which the result is kept under a name made of the recording's content and the settings;
            nothing is read or written when None.
    """
    if n_filters < 2:
        raise ValueError(f"n_filters: expected 2 or more, got {n_filters}")
    path = None
    if cache is not None:
        key = f"null {FORMAT} {recording.fingerprint()} {width} {padding} {n_filters} {seed} {BATCH} {BINS}"
        key += "" if gaussian is None else f" gaussian {gaussian!r}"
        path = Path(cache) / f"null_{hashlib.sha256(key.encode()).hexdigest()[:24]}.json"
        if path.exists():
            return _from_dict(read_json(path), path)
    respond = responder(recording, padding, device, backend)
    generator = torch.Generator().manual_seed(seed)
    # The mean of a response is the same for every random filter up to edges; the first batch fixes where bins lie.
    edges: torch.Tensor | None = None
    counts = torch.zeros(BINS, dtype=torch.int64)
    n, mean, squares = 0, 0.0, 0.0
    for first in range(0, n_filters, BATCH):
        w = _draw(min(BATCH, n_filters - first), recording.n_neurons, width, gaussian, generator).to(device)
        with torch.no_grad():
            o = respond(w).flatten()
        m = float(o.mean(dtype=torch.float64))
        q = float((o - m).square().sum(dtype=torch.float64))
        delta, total = m - mean, n + len(o)
        squares += q + delta * delta * n * len(o) / total
        mean += delta * len(o) / total
        n = total
        if edges is None:
            sd = (q / len(o)) ** 0.5 or 1.0
            edges = torch.linspace(m - 6 * sd, m + 14 * sd, BINS + 1)
        step = (edges[-1] - edges[0]) / BINS
        place = ((o.cpu() - edges[0]) / step).to(torch.int32).clamp_(0, BINS - 1)
        counts += torch.bincount(place, minlength=BINS)
    assert edges is not None
    found = Null(mean, (squares / n) ** 0.5, n, n_filters, edges.numpy().astype(np.float64), counts.numpy())
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, _to_dict(found))
    return found


def _draw(K: int, N: int, W: int, gaussian: float | None, generator: torch.Generator) -> torch.Tensor:
    """Random filters [1, K, N, W]."""
    if gaussian is None:
        return torch.randn(1, K, N, W, generator=generator).softmax(-1)
    middle = 1 + (W - 1) * torch.rand(1, K, N, 1, generator=generator)
    return torch.exp(-0.5 * ((torch.arange(1, W + 1) - middle) / gaussian).square())


def cache_folder() -> Path:
    """Where nulls are kept by default: $NEURORBIT_CACHE, or the user's cache folder."""
    if given := os.environ.get("NEURORBIT_CACHE"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "neurorbit"


def _to_dict(null: Null) -> dict[str, Any]:
    values = {"mean": null.mean, "sd": null.sd, "n_values": null.n_values, "n_filters": null.n_filters}
    content = values | {"edges": null.edges.tolist(), "counts": null.counts.tolist()}
    return content | {"digest": _digest(content)}


def _from_dict(content: dict[str, Any], path: Path) -> Null:
    content = dict(content) if isinstance(content, dict) else {}
    if content.pop("digest", None) != _digest(content):
        raise ValueError(f"{path}: does not match its digest: it was cut or edited; delete it")
    edges, counts = np.asarray(content.pop("edges")), np.asarray(content.pop("counts"))
    return Null(**content, edges=edges, counts=counts)


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
