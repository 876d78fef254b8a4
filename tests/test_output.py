"""Output folders are complete or absent."""

import pytest

from heavyball_dynamics._output import staged


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_files_appear_at_the_end(tmp_path):
    out = tmp_path / "a" / "b" / "report"
    with staged(out) as work:
        (work / "x.txt").write_text("x")
        assert not out.exists()
    assert names(tmp_path) == ["a", "a/b", "a/b/report", "a/b/report/x.txt"]
    assert out.stat().st_mode & 0o777 == (tmp_path / "a").stat().st_mode & 0o777


def test_existing_files_are_replaced_and_others_kept(tmp_path):
    (tmp_path / "x.txt").write_text("old")
    (tmp_path / "mine.txt").write_text("mine")
    with staged(tmp_path) as work:
        (work / "x.txt").write_text("new")
    assert (tmp_path / "x.txt").read_text() == "new"
    assert names(tmp_path) == ["mine.txt", "x.txt"]


def test_nothing_is_left_after_a_failure(tmp_path):
    def fail_half_way():
        with staged(tmp_path / "a" / "report") as work:
            (work / "x.txt").write_text("x")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        fail_half_way()
    assert names(tmp_path) == []


def test_a_file_in_the_way_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="is a file"), staged(tmp_path / "file"):
        pass
    with pytest.raises(OSError, match="cannot be made"), staged(tmp_path / "file" / "report"):
        pass
    assert names(tmp_path) == ["file"]
