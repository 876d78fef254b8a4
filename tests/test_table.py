"""CSV files become columns of numbers, or one clear sentence."""

import numpy as np
import pytest

from heavyball_dynamics._table import read_table


def write(folder, text, encoding="utf-8"):
    path = folder / "data.csv"
    path.write_text(text, encoding=encoding)
    return path


def test_reads_all_other_columns_as_features(tmp_path):
    table = read_table(write(tmp_path, "y, a,b\n1,2,3\n4,5,6\n\n7,8,9\n"), "y")
    assert table.names == ("a", "b")
    np.testing.assert_array_equal(table.features, [[2, 3], [5, 6], [8, 9]])
    np.testing.assert_array_equal(table.target, [1, 4, 7])


def test_features_are_chosen_in_the_order_given(tmp_path):
    path = write(tmp_path, "y,a,b,word\n1,2,3,x\n4,5,6,y\n")
    table = read_table(path, "y", ["b", "a", "b"])
    assert table.names == ("b", "a")
    np.testing.assert_array_equal(table.features, [[3, 2], [6, 5]])


def test_byte_order_mark_and_quotes(tmp_path):
    table = read_table(write(tmp_path, '"y","a, b"\n1,"2"\n3,4\n', "utf-8-sig"), "y")
    assert table.names == ("a, b",)


def test_standardized_has_mean_zero_and_population_deviation_one(tmp_path):
    rng = np.random.default_rng(0)
    data = rng.normal(5.0, [1.0, 1e3, 1e-3], size=(20, 3))
    rows = "\n".join(",".join(repr(float(x)) for x in row) for row in data)
    table = read_table(write(tmp_path, f"y,a,b\n{rows}\n"), "y").standardized()
    both = np.column_stack([table.target, table.features])
    np.testing.assert_allclose(both.mean(axis=0), 0, atol=1e-11)
    np.testing.assert_allclose(both.std(axis=0, ddof=0), 1, rtol=1e-12)


@pytest.mark.parametrize(("text", "target", "features", "said"), [
    ("y,a\n1,2\n", "y", None, "at least two rows"),
    ("", "y", None, "no column 'y'"),
    ("y,a\n1,2\n3,4\n", "z", None, "no column 'z'.*y, a"),
    ("y,a\n1,2\n3,4\n", "y", ["q"], "no column 'q'"),
    ("y,a\n1,2\n3,4\n", "y", ["y"], "is the target"),
    ("y\n1\n2\n", "y", None, "no column but the target"),
    ("y,a,a\n1,2,3\n4,5,6\n", "y", None, "more than one column 'a'"),
    ("y,a\n1,2\n3,four\n", "y", None, "row 3, column 'a'.*'four'"),
    ("y,a\n1,2\n\n3,\n", "y", None, "row 4, column 'a'.*is empty"),
    ("y,a\n1,nan\n3,4\n", "y", None, "row 2, column 'a'.*'nan'"),
    ("y,a\n1,inf\n3,4\n", "y", None, "row 2, column 'a'.*'inf'"),
    ("y,a\n1,2\n3\n", "y", None, "row 3.*1 cells, the header has 2"),
])  # fmt: skip
def test_bad_files_are_told_by_row_and_column(tmp_path, text, target, features, said):
    with pytest.raises(ValueError, match=said):
        read_table(write(tmp_path, text), target, features)


def test_missing_file_and_binary_file(tmp_path):
    with pytest.raises(ValueError, match="no file"):
        read_table(tmp_path / "none.csv", "y")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00y,a\n")
    with pytest.raises(ValueError, match="not a CSV file"):
        read_table(tmp_path / "binary.csv", "y")


def test_constant_column_cannot_be_standardized(tmp_path):
    table = read_table(write(tmp_path, "y,a\n1,0.1\n2,0.1\n3,0.1\n"), "y")
    with pytest.raises(ValueError, match=r"column 'a' is constant \(0.1\)"):
        table.standardized()


@pytest.mark.parametrize("unit", [1e-200, 1.0, 1e200, 1e307])
def test_standardizing_forgets_the_unit_of_a_column(tmp_path, unit):
    cells = [1.0, -1.0, 3.0, 17.0]
    rows = "\n".join(f"{i * i},{cell * unit!r}" for i, cell in enumerate(cells))
    scaled = read_table(write(tmp_path, f"y,a\n{rows}\n"), "y").standardized().features[:, 0]
    np.testing.assert_allclose(scaled, (np.array(cells) - np.mean(cells)) / np.std(cells), rtol=1e-14)


def test_raw_columns_must_have_finite_squares(tmp_path):
    table = read_table(write(tmp_path, "y,a\n1,1e200\n2,3\n"), "y")
    with pytest.raises(ValueError, match=r"column 'a' holds 1e\+200, beyond 1e\+20"):
        table.raw()
    table = read_table(write(tmp_path, "y,a\n1,1e19\n2,3\n"), "y")
    assert table.raw() is table
