"""TimeSeries: what is accepted, what it becomes, what is refused and with which words."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from neurorbit.engine.data import TimeSeries

X = np.arange(12.0).reshape(6, 2)


@pytest.mark.parametrize(
    "dtype", ["f4", "f8", ">f8", "g", "i1", "i4", "i8", "u1", "u8", "?"], ids=lambda d: str(np.dtype(d))
)
def test_real_numbers_become_float32(dtype: str) -> None:
    x = (X % 2).astype(dtype)
    series = TimeSeries.from_arrays(x)
    assert series.values[0].dtype == torch.float32
    assert series.values[0].tolist() == (X % 2).tolist()


def test_a_matrix_is_one_sequence() -> None:
    series = TimeSeries.from_arrays(X, X[:, :1])
    assert (series.n_observed, series.n_inputs, series.lengths, series.total_steps) == (2, 1, (6,), 6)
    assert torch.equal(series.longest(), torch.from_numpy(X).float())


def test_three_axes_are_sequences() -> None:
    x = np.arange(24.0).reshape(3, 4, 2)
    series = TimeSeries.from_arrays(x, x[..., :1])
    assert series.lengths == (4, 4, 4)
    assert torch.equal(torch.stack(series.values).double(), torch.from_numpy(x))
    assert series.inputs is not None and torch.equal(series.inputs[2], series.values[2][:, :1])


def test_a_list_keeps_the_lengths() -> None:
    series = TimeSeries.from_arrays([X, torch.ones(9, 2), X[:3]])
    assert series.lengths == (6, 9, 3) and series.total_steps == 18
    assert torch.equal(series.longest(), torch.ones(9, 2))
    assert series.n_inputs == 0


def test_the_series_is_a_copy() -> None:
    x = X.astype(np.float32)
    t = torch.ones(6, 2, requires_grad=True)
    from_array, from_tensor = TimeSeries.from_arrays(x), TimeSeries.from_arrays(t)
    x[0, 0] = 99.0
    with torch.no_grad():
        t[0, 0] = 99.0
    assert from_array.values[0][0, 0] == 0.0
    assert from_tensor.values[0][0, 0] == 1.0 and not from_tensor.values[0].requires_grad


def test_read_only_and_strided_arrays() -> None:
    x = np.arange(24.0).reshape(6, 4)
    x.flags.writeable = False
    values = TimeSeries.from_arrays(x[::-2, ::3]).values[0]
    assert values.is_contiguous() and values.tolist() == x[::-2, ::3].tolist()


def test_masked_entries_are_missing() -> None:
    mask = np.zeros((6, 2), bool)
    mask[1, 0] = True
    values = TimeSeries.from_arrays(np.ma.MaskedArray(X.astype(int), mask)).values[0]
    assert torch.equal(values.isnan(), torch.from_numpy(mask))


def test_a_variable_may_be_missing_in_one_sequence() -> None:
    gone = X.copy()
    gone[:, 1] = np.nan
    assert TimeSeries.from_arrays([gone, X]).values[0][:, 1].isnan().all()


def nan_column() -> np.ndarray:
    x = X.copy()
    x[:, 1] = np.nan
    return x


def with_value(value: float) -> np.ndarray:
    x = X.copy()
    x[4, 1] = value
    return x


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (X[:, 0], ValueError, "x: expected [T, N], got [6]; a single variable has the shape [T, 1], x[:, None]"),
        (np.float64(3), ValueError, "x: expected [T, N] or [S, T, N], got []"),
        (np.zeros((2, 2, 2, 2)), ValueError, "x: expected [T, N] or [S, T, N], got [2, 2, 2, 2]"),
        (np.zeros((0, 3)), ValueError, "x: expected [T, N], got [0, 3]: it is empty"),
        (np.zeros((2, 0, 3)), ValueError, "x: expected [S, T, N], got [2, 0, 3]: it is empty"),
        ([], ValueError, "x: expected at least one sequence [T, N], got an empty list"),
        ([X, X[:, :1]], ValueError, "x[1]: expected N=2 as in the first sequence, got 1"),
        (
            [X, X[:, 0]],
            ValueError,
            "x[1]: expected [T, N], got [6]; a single variable has the shape [T, 1], x[:, None]",
        ),
        ([X, X[None]], ValueError, "x[1]: expected [T, N], got [1, 6, 2]"),
        ([[1.0, 2.0]], TypeError, "a list of list; wrap it in numpy.asarray"),
        (nan_column(), ValueError, "x: variable 1 is NaN throughout; leave that column out"),
        (with_value(np.inf), ValueError, "x: infinite at [4, 1]; mark missing observations with NaN"),
        (with_value(-np.inf), ValueError, "x: infinite at [4, 1]"),
        (with_value(1e39), ValueError, "x: 1e+39 at [4, 1] is too large for float32; rescale the data"),
        (
            X.astype(np.float16),
            TypeError,
            "got float16; it holds three digits only; convert it with .astype('float32')",
        ),
        (torch.ones(3, 2).half(), TypeError, "got float16"),
        (torch.ones(3, 2).bfloat16(), TypeError, "got bfloat16"),
        (X.astype(complex), TypeError, "x: expected real numbers, got complex128"),
        (np.array([["a", "b"]]), TypeError, "x: expected an array of numbers, got text"),
        (np.array([[None, 1.0]]), TypeError, "x: expected an array of numbers, got objects"),
        (X.astype("M8[s]"), TypeError, "got dates"),
        (None, TypeError, "x: expected an array of numbers, got objects"),
    ],
)
def test_refusals(x: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        TimeSeries.from_arrays(x)
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (X[:5], "inputs: expected [T=6, U=2], got [5, 2]: T differs from x"),
        ([X, X], "inputs: expected 1 sequences as in x, got 2"),
        (with_value(np.nan), "inputs: NaN in sequence 0; inputs must be known at every step, fill the gaps"),
        (X[:, 0], "inputs: expected [T, U], got [6]; a single variable has the shape [T, 1]"),
        (with_value(np.inf), "inputs: infinite at [4, 1]; inputs must be finite at every step"),
    ],
)
def test_refused_inputs(inputs: Any, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        TimeSeries.from_arrays(X, inputs)
    assert message in str(caught.value)


def test_inputs_of_a_list_are_named_by_their_number() -> None:
    with pytest.raises(ValueError, match=r"inputs\[1\]: expected \[T=4, U=1\], got \[6, 1\]: T differs from x"):
        TimeSeries.from_arrays([X, X[:4]], [X[:, :1], X[:, :1]])


def test_a_constant_input_is_allowed() -> None:
    assert TimeSeries.from_arrays(X, np.ones((6, 1))).n_inputs == 1


shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
reals = st.one_of(
    hnp.arrays(np.float32, shapes),
    hnp.arrays(np.float64, shapes, elements=st.floats(width=32)),
    hnp.arrays(np.int16, shapes),
)


@settings(deadline=None)
@given(reals)
def test_whatever_the_array_it_is_taken_over_exactly_or_refused_in_one_line(x: np.ndarray) -> None:
    acceptable = x.ndim in (2, 3) and x.size > 0 and not np.isinf(x).any()
    acceptable = acceptable and not np.isnan(x).reshape(-1, x.shape[-1]).all(axis=0).any()
    try:
        series = TimeSeries.from_arrays(x)
    except ValueError as error:
        assert not acceptable and str(error).startswith("x: ") and "\n" not in str(error)
    else:
        assert acceptable
        sequences = x[None] if x.ndim == 2 else x
        assert len(series.values) == len(sequences)
        for taken, given_ in zip(series.values, sequences, strict=True):
            assert np.array_equal(taken.numpy(), given_.astype(np.float32), equal_nan=True)
