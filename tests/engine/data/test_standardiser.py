"""Standardiser: against scipy's z-score, exactly invertible, deaf to missing values."""

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurorbit.engine.data import Standardiser, TimeSeries


def data(seed: int = 0, T: int = 500, N: int = 4) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.normal(generator.normal(0, 50, N), generator.uniform(0.01, 30, N), (T, N))


def test_equals_the_z_score() -> None:
    series = TimeSeries.from_arrays(data())
    z = Standardiser.fit(series).apply(series.values[0])
    assert np.abs(z.numpy() - scipy.stats.zscore(series.values[0].double().numpy())).max() < 1e-3


def test_pools_all_sequences() -> None:
    x = data()
    parts = Standardiser.fit(TimeSeries.from_arrays([x[:7], x[7:400], x[400:]]))
    whole = Standardiser.fit(TimeSeries.from_arrays(x))
    assert torch.allclose(parts.mean, whole.mean) and torch.allclose(parts.sd, whole.sd)


def test_missing_values_take_no_part_and_stay() -> None:
    x = data()
    x[np.random.default_rng(1).random(x.shape) < 0.3] = np.nan
    series = TimeSeries.from_arrays(x)
    standardiser = Standardiser.fit(series)
    kept = np.where(np.isnan(x), np.nan, x.astype(np.float32).astype(float))
    assert standardiser.mean.numpy() == pytest.approx(np.nanmean(kept, axis=0), rel=1e-6)
    assert standardiser.sd.numpy() == pytest.approx(np.nanstd(kept, axis=0), rel=1e-6)
    assert torch.equal(standardiser.apply(series).values[0].isnan(), series.values[0].isnan())


def test_large_offsets_do_not_cancel() -> None:
    x = 1e6 + np.random.default_rng(0).standard_normal((100_000, 1))
    series = TimeSeries.from_arrays(x)
    assert float(Standardiser.fit(series).sd) == pytest.approx(1.0, rel=0.01)


@settings(deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 6), st.integers(2, 40))
def test_undo_inverts_apply(seed: int, N: int, T: int) -> None:
    series = TimeSeries.from_arrays(data(seed, T, N), np.ones((T, 1)))
    standardiser = Standardiser.fit(series)
    back = standardiser.undo(standardiser.apply(series))
    scale = series.values[0].abs().amax(0) + standardiser.sd
    assert ((back.values[0] - series.values[0]).abs() <= 3e-6 * scale).all()
    assert back.inputs is series.inputs


def test_keeps_dtype_and_leading_axes() -> None:
    standardiser = Standardiser.fit(TimeSeries.from_arrays(data()))
    z = torch.randn(2, 3, 5, 4, dtype=torch.float64)
    x = standardiser.undo(z)
    assert x.shape == z.shape and x.dtype == torch.float64
    assert torch.allclose(x[1, 2], z[1, 2] * standardiser.sd.double() + standardiser.mean.double())


def test_identity_changes_nothing() -> None:
    x = torch.randn(5, 3)
    assert torch.equal(Standardiser.identity(3).apply(x), x) and torch.equal(Standardiser.identity(3).undo(x), x)


def test_survives_storage() -> None:
    a = Standardiser.fit(TimeSeries.from_arrays(data()))
    b = Standardiser.from_tensors(a.tensors())
    assert torch.equal(a.mean, b.mean) and torch.equal(a.sd, b.sd)


@pytest.mark.parametrize("value", [0.0, 0.1, -7.3e5, 1e30])
def test_a_constant_column_is_refused(value: float) -> None:
    x = data(N=3)
    x[:, 1] = value
    x[::7, 1] = np.nan
    with pytest.raises(
        ValueError, match=r"^x: variable 1 is constant \(.*\) and cannot be standardised; leave that colu"
    ):
        Standardiser.fit(TimeSeries.from_arrays(x))


def test_a_single_observation_is_constant() -> None:
    x = data(N=2)
    x[1:, 0] = np.nan
    with pytest.raises(ValueError, match="variable 0 is constant"):
        Standardiser.fit(TimeSeries.from_arrays(x))


def test_another_number_of_variables_is_refused() -> None:
    standardiser = Standardiser.fit(TimeSeries.from_arrays(data(N=3)))
    with pytest.raises(
        ValueError, match=r"^x: expected \[..., N=3\], got \[10, 5\]: N differs from the data the standar"
    ):
        standardiser.apply(torch.zeros(10, 5))
    with pytest.raises(ValueError, match=r"N=3"):
        standardiser.undo(TimeSeries.from_arrays(data(N=5)))


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"mean": torch.zeros(3)}, r"expected the tensors mean and sd, got \['mean'\]"),
        ({"mean": torch.zeros(3), "sd": torch.ones(2)}, r"expected mean \[N\] and sd \[N\], got \[3\] and \[2\]"),
        ({"mean": torch.zeros(3), "sd": torch.tensor([1.0, 0.0, 1.0])}, "positive sd"),
        ({"mean": torch.tensor([torch.nan]), "sd": torch.ones(1)}, "finite mean"),
    ],
)
def test_altered_storage_is_refused(tensors: dict[str, torch.Tensor], message: str) -> None:
    with pytest.raises(ValueError, match="^standardiser: .*" + message):
        Standardiser.from_tensors(tensors)
