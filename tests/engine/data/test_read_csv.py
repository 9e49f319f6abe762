"""CSV tables: separators, headers, gaps and refusals."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurorbit.engine.data import TimeSeries, read_time_series
from neurorbit.engine.data.csv_file import read_table

NAN = float("nan")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "a.csv"


def read(path: Path, text: str, key: str | None = None, inputs_key: str | None = None) -> TimeSeries:
    path.write_text(text, encoding="utf-8", newline="")
    return read_time_series(path, key, inputs_key)


def rows(series: TimeSeries) -> list[list[float]]:
    return series.values[0].tolist()


@pytest.mark.parametrize(
    "text",
    [
        "1,2\n3,4\n",
        "1;2\r\n3;4",
        "1\t2\n3\t4\n\n\n",
        "a,b\n1,2\n3,4\n",
        '"a b";"c"\n1;2\n"3";4\n',
        "# written by hand\n# twice\na\tb\n1\t2\n3\t4\n",
        "\ufeffx,y\n1,2\n3,4\n",
        " 1 , 2 \n 3 , 4.0e0 \n",
        "\n\n1,2\n3,4\n",
        "1_1,1_2\n1,2\n3,4\n",
    ],
)
def test_the_same_table_in_many_spellings(table: Path, text: str) -> None:
    assert rows(read(table, text)) == [[1.0, 2.0], [3.0, 4.0]]


def test_missing_cells(table: Path) -> None:
    values = read(table, "a,b\n1,\nNaN,2\nn/a,NULL\n,\n5,None\n").values[0].numpy()
    expected = [[1, NAN], [NAN, 2], [NAN, NAN], [NAN, NAN], [5, NAN]]
    assert np.array_equal(values, np.array(expected, np.float32), equal_nan=True)


def test_a_first_row_of_gaps_is_data(table: Path) -> None:
    assert read(table, "nan,\n1,2\n").values[0].isnan().tolist() == [[True, True], [False, False]]


def test_one_column_is_one_variable(table: Path) -> None:
    assert rows(read(table, "v\n1\n2\n3\n")) == [[1.0], [2.0], [3.0]]
    values = read(table, "1\n\n3\n\n").values[0][:, 0].numpy()
    assert np.array_equal(values, np.array([1, NAN, 3], np.float32), equal_nan=True)


def test_columns_by_name(table: Path) -> None:
    text = "t,x,y,stimulus\n0.0,1,2,9\n0.5,3,4,8\n"
    assert rows(read(table, text, "y, x")) == [[2.0, 1.0], [4.0, 3.0]]
    series = read(table, text, "x,y", "stimulus")
    assert series.inputs is not None and series.inputs[0].tolist() == [[9.0], [8.0]]
    series = read(table, text, inputs_key="stimulus,t")
    assert rows(series) == [[1.0, 2.0], [3.0, 4.0]] and series.n_inputs == 2


def test_columns_by_number_without_a_header(table: Path) -> None:
    assert rows(read(table, "1,2,3\n4,5,6\n", "3,1")) == [[3.0, 1.0], [6.0, 4.0]]


@pytest.mark.parametrize(
    ("text", "key", "message"),
    [
        ("a,b\n1,2\n3\n", None, "line 3 has 1 cells, line 1 has 2"),
        ("a,b\n1,2\n3,4,5\n", None, "line 3 has 3 cells, line 1 has 2"),
        ("a,b\n1,2\n3,four\n", None, "line 3, column 2: expected a number or an empty cell, got 'four'"),
        (
            "a;b\n1,5;2\n",
            None,
            "line 2, column 1: expected a number or an empty cell, got '1,5'; write decimals with a po",
        ),
        ("a,b\n1,2\n\n3,4\n", None, "line 3 is blank; remove it, or write 2 empty cells for a gap"),
        ("a,b\n", None, "got [0, 2]: it is empty"),
        ("\n \n\n", None, "holds no numbers"),
        ("# nothing\n", None, "holds no numbers"),
        ("a,b\n1,\n2,\n", None, "variable 1 is NaN throughout"),
        ("a,b\n1,inf\n2,3\n", None, "infinite at [0, 1]"),
        ("a,b\n1,1e99\n2,3\n", None, "is too large for float32"),
        ("a,b\n1,2\n", "c", "has no column 'c'; it has a, b"),
        ("a,a\n1,2\n", "a", "has several columns 'a'"),
        (",a\n0,5\n1,6\n2,7\n", None, "the first column counts the rows"),
        (",0,1\n0,5,5\n1,6,6\n2,7,7\n", None, "the first column counts the rows"),
        ('a,b\n"1,2\n', None, "is not a CSV file"),
    ],
)
def test_refusals(table: Path, text: str, key: str | None, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        read(table, text, key)
    assert message in str(caught.value) and str(table) in str(caught.value) and "\n" not in str(caught.value)


def test_inputs_with_gaps_are_refused(table: Path) -> None:
    with pytest.raises(ValueError, match=r"a\.csv\[u\]: NaN in sequence 0"):
        read(table, "x,u\n1,2\n3,\n", inputs_key="u")


def test_all_columns_as_inputs_leave_nothing(table: Path) -> None:
    with pytest.raises(ValueError, match=r"got \[2, 0\]: it is empty"):
        read(table, "u\n2\n3\n", inputs_key="u")


@pytest.mark.parametrize("content", [b"\xff\xfe1\x00,\x002\x00", b"\x89HDF\r\n\x1a\n\xff\xff", bytes(range(256))])
def test_binary_files(table: Path, content: bytes) -> None:
    table.write_bytes(content)
    with pytest.raises(ValueError, match="is not a text file in UTF-8; save it as CSV"):
        read_time_series(table)


@settings(deadline=None)
@given(
    st.lists(st.lists(st.none() | st.floats(allow_nan=False), min_size=3, max_size=3), min_size=1),
    st.sampled_from(",;\t"),
)
def test_any_table_of_numbers_and_gaps_comes_back(
    tmp_path_factory: pytest.TempPathFactory, cells: list, sep: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "property.csv"
    path.write_text("\n".join(sep.join("" if c is None else repr(c) for c in row) for row in cells) + "\n")
    expected = np.array([[NAN if c is None else c for c in row] for row in cells])
    assert np.array_equal(read_table(path).values, expected, equal_nan=True)
