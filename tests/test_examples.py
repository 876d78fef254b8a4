"""Every script of examples/ runs, draws and says something."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "examples"
SCRIPTS = sorted(FOLDER.glob("*.py"))


def test_there_are_examples():
    assert SCRIPTS, "examples/ holds no script"


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_example_runs_and_draws(path, tmp_path, monkeypatch, capsys):
    # What a script writes beside the folder that it was given would land here and be seen.
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    spec = importlib.util.spec_from_file_location(f"example_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up by name.
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    folder = tmp_path / "figures"

    module.main(folder)

    drawn = list(folder.glob("*.png"))
    assert drawn, f"{path.name} drew no .png"
    assert all(figure.stat().st_size > 0 for figure in drawn)
    assert capsys.readouterr().out.strip(), f"{path.name} printed nothing"
    assert list(elsewhere.iterdir()) == [], f"{path.name} wrote outside the folder it was given"
