"""The command line, as a user meets it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import heavyball_dynamics as hb
from heavyball_dynamics.cli import main

ROOT = Path(__file__).parents[1]
LONGLEY = str(ROOT / "examples" / "data" / "longley.csv")
FIGURES = ["root_locus_z", "root_locus_s", "damping_map", "phase_stiffest", "phase_slowest", "loss"]
SETTING = ["report", "--lr", "0.02", "--momentum", "0.9"]


def run(arguments, out, capsys):
    status = main([*map(str, arguments), "--out", str(out)])
    said = capsys.readouterr()
    found = json.loads((out / "report.json").read_text(encoding="utf-8")) if (out / "report.json").exists() else None
    return status, said.out, said.err, found


@pytest.fixture(scope="module")
def longley(tmp_path_factory):
    """The main job, through the installed entry point's module, in a process of its own."""
    out = tmp_path_factory.mktemp("main") / "report"
    environment = {**os.environ, "MPLBACKEND": "Agg", "PYTHONPATH": str(ROOT)}
    arguments = [*SETTING, "--csv", LONGLEY, "--target", "TOTEMP", "--out", str(out)]
    done = subprocess.run(
        [sys.executable, "-m", "heavyball_dynamics", *arguments],
        capture_output=True, text=True, check=False, cwd=out.parent, env=environment, encoding="utf-8",
    )  # fmt: skip
    return done, out


def test_main_job_writes_everything(longley):
    done, out = longley
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    expected = {"report.html", "report.json", *(f"{name}.{end}" for name in FIGURES for end in ("png", "pdf"))}
    assert {path.name for path in out.iterdir()} == expected
    assert [path.name for path in out.parent.iterdir()] == ["report"]
    for name in FIGURES:
        assert (out / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert (out / f"{name}.pdf").read_bytes().startswith(b"%PDF")


def test_main_job_numbers(longley):
    """Against the correlation matrix of the data, whose eigenvalues are the curvatures, and math by hand."""
    done, out = longley
    found = json.loads((out / "report.json").read_text(encoding="utf-8"))
    data = np.genfromtxt(LONGLEY, delimiter=",", names=True)
    features = np.column_stack([data[name] for name in data.dtype.names if name != "TOTEMP"])
    expected = np.linalg.eigvalsh(np.corrcoef(features.T))[::-1]
    curvature = np.array([mode["curvature"] for mode in found["modes"]])
    np.testing.assert_allclose(curvature, expected, rtol=1e-9)
    physical = found["physical"]
    assert physical["mass"] == 1.0
    np.testing.assert_allclose(physical["dt"], np.sqrt(2 * 0.02 / 1.9), rtol=1e-12)
    np.testing.assert_allclose(physical["damping"], 2 * 0.1 / (1.9 * physical["dt"]), rtol=1e-12)
    for mode in found["modes"]:
        q = 0.02 * mode["curvature"]
        poles = np.roots([1, -(1.9 - q), 0.9])
        np.testing.assert_allclose(mode["rate"], np.abs(poles).max(), rtol=1e-9)
        np.testing.assert_allclose(mode["distance_to_limit"], 3.8 / q, rtol=1e-9)
        np.testing.assert_allclose(mode["half_life"], np.log(0.5) / np.log(np.abs(poles).max()), rtol=1e-4)
        assert mode["method_class"] == ("underdamped" if np.iscomplexobj(poles) and poles[0].imag else "overdamped")
    kappa = curvature.max() / curvature.min()
    np.testing.assert_allclose(found["optimum"]["rate"], (np.sqrt(kappa) - 1) / (np.sqrt(kappa) + 1), rtol=1e-6)
    for factors in found["loss_per_step"].values():
        np.testing.assert_allclose(factors["measured"], factors["predicted"], atol=2e-8)
    assert found["verdict"] in done.stdout
    assert "mode 6" in found["verdict"]


def test_page_is_self_contained(longley):
    page = (longley[1] / "report.html").read_text(encoding="utf-8")
    sources = re.findall(r'(?:src|href)="([^"]{0,30})', page)
    assert len(sources) == len(FIGURES)
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert "<script" not in page
    for name in FIGURES:
        assert f'id="{name}"' in page


@pytest.mark.parametrize(("arguments", "check"), [
    (["--curvature", 1, 100], lambda f: [m["curvature"] for m in f["modes"]] == [100, 1]),
    (["--objective", "rosenbrock"], lambda f: f["diverges"] and len(f["modes"]) == 2),
    (["--curvature", 1, "--optimizer", "nesterov"], lambda f: f["method"] == "Nesterov"),
    (["--curvature", 1, "--dialect", "ema"], lambda f: abs(f["lr"] - 0.002) < 1e-15 and f["settings"]["lr"] == 0.02),
    (["--curvature", 1, "--rule", "explicit"], lambda f: abs(f["physical"]["dt"] - np.sqrt(0.02)) < 1e-15),
    (["--curvature", 1, "--mass", 4], lambda f: f["physical"]["mass"] == 4),
    (["--curvature", 1, "--dt", 0.5], lambda f: f["physical"]["dt"] == 0.5),
    (["--curvature", 1, "--dampening", 0.5], lambda f: f["lr"] == 0.01 and f["settings"]["dampening"] == 0.5),
    (["--csv", LONGLEY, "--target", "TOTEMP", "--features", "GNP", "YEAR"], lambda f: len(f["modes"]) == 2),
    (["--csv", LONGLEY, "--target", "TOTEMP", "--raw"], lambda f: f["diverges"]),
    (["--csv", LONGLEY, "--target", "TOTEMP", "--l2", 0.5], lambda f: f["modes"][-1]["curvature"] > 0.5),
])  # fmt: skip
def test_variants(tmp_path, capsys, arguments, check):
    status, said, error, found = run([*SETTING, "--format", "svg", *arguments], tmp_path / "out", capsys)
    assert (status, error) == (0, "")
    assert check(found)
    assert found["verdict"] in said
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".html", ".json", ".svg"}


@pytest.mark.parametrize("arguments", [
    ["--lr", 1.0, "--momentum", 0.5, "--curvature", 4],
    ["--lr", 0.1, "--momentum", 1.0, "--curvature", 1, 10],
    ["--lr", 0.1, "--momentum", -0.5, "--curvature", 1, 10],
    ["--lr", 0.1, "--momentum", 0, "--curvature", 1, 10],
    ["--lr", 0.1, "--momentum", 0.5, "--curvature", 0, 1],
    ["--lr", 0.1, "--momentum", 0.5, "--curvature", 0],
    ["--lr", 0.1, "--momentum", 0.5, "--curvature", -1, 2],
    ["--lr", 0.1, "--momentum", 0.5, "--objective", "saddle"],
    ["--lr", 1e-9, "--momentum", 0.99, "--curvature", 1e-3, 1e6],
    ["--lr", 1e30, "--momentum", -1e-3, "--curvature", -1e-3, 1e30, *range(1, 9)],
    ["--lr", 0.02, "--momentum", -0.99, "--curvature", 4e-4],
    ["--lr", 0.0330578512396694, "--momentum", 0.669421487603306, "--curvature", 1, 100],
])  # fmt: skip
def test_every_finding_is_a_report(tmp_path, capsys, arguments):
    status, said, error, found = run(["report", *arguments, "--format", "svg"], tmp_path / "out", capsys)
    assert (status, error) == (0, "")
    assert found["diverges"] == ("DIVERGES" in said)
    assert not re.search(r"\b(nan|inf)\b", said)
    method = hb.HeavyBall(arguments[1], arguments[3])
    curvature = [mode["curvature"] for mode in found["modes"]]
    labels = [hb.DampingClass(int(c)).label for c in hb.analyze_modes(method, curvature).damping]
    assert [mode["method_class"] for mode in found["modes"]] == labels


@pytest.mark.parametrize(("arguments", "said"), [
    ([], "required"),
    (["report"], "--lr"),
    (["report", "--lr", "0.1", "--momentum", "0.9"], "one of the arguments --csv"),
    (["report", "--lr", "0.1", "--momentum", "0.9", "--curvature", "1", "--objective", "beale"], "not allowed with"),
    (["report", "--lr", "0", "--momentum", "0.9", "--curvature", "1"], "--lr must be > 0"),
    (["report", "--lr", "-1", "--momentum", "0.9", "--curvature", "1"], "--lr must be > 0"),
    (["report", "--lr", "nan", "--momentum", "0.9", "--curvature", "1"], "--lr must be > 0"),
    (["report", "--lr", "1e300", "--momentum", "0.9", "--curvature", "1"], "--lr must be between 1e-30 and 1e.30"),
    (["report", "--lr", "1", "--momentum", "0.9", "--curvature", "0", "-5e-324"], "--curvature must be between 1e-30"),
    (["report", "--lr", "x", "--momentum", "0.9", "--curvature", "1"], "invalid float value: 'x'"),
    (["report", "--lr", "0.1", "--momentum", "1.01", "--curvature", "1"], r"--momentum must be in \(-1, 1\]"),
    (["report", "--lr", "0.1", "--momentum", "-1", "--curvature", "1"], r"--momentum must be in \(-1, 1\]"),
    (["report", "--lr", "0.1", "--momentum", "nan", "--curvature", "1"], r"--momentum must be in \(-1, 1\]"),
    (["report", "--lr", "0.1", "--momentum", "0.9", "--curvature", "nan"], "`curvature` must be finite"),
    (["report", "--lr", "0.1", "--momentum", "0.9", "--objective", "none"], "invalid choice: 'none'"),
    (["report", "--lr", "0.1", "--momentum", "0.9", "--curvature", "1", "--mass", "-2"], "`mass` must be > 0"),
    (["report", "--lr", "0.1", "--momentum", "0.9", "--curvature", "1", "--mass", "1", "--dt", "1"], "not allowed"),
    (["report", "--lr", "0.1", "--momentum", "0.9", "--curvature", "1", "--dt", "1e300"], "out of the range"),
    (["report", "--lr", "0.1", "--momentum", "-0.5", "--curvature", "1", "--rule", "exponential"], "`momentum` must"),
    (["report", "--lr", "0.1", "--momentum", "0.9", "--csv", "none.csv", "--target", "y"], "no file 'none.csv'"),
    (["report", "--lr", "0.1", "--momentum", "0.9", "--csv", LONGLEY], "--csv needs --target"),
    (["report", "--lr", "0.1", "--momentum", "0.9", "--csv", LONGLEY, "--target", "y"], "no column 'y'"),
    (["report", "--lr", "0.1", "--momentum", "0.9", "--curvature", "1", "--raw"], "--raw belongs to --csv"),
    (["report", "--lr", "0.1", "--momentum", "0.9", "--curvature", "1", "--target", "y"], "--target belongs to --csv"),
    (["report", "--lr", "0.1", "--momentum", "0.9", "--curvature", "1", "--format", "docx"], "invalid choice: 'docx'"),
])  # fmt: skip
def test_bad_input_is_one_line_and_no_folder(tmp_path, capsys, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("heavyball: error: ")
    assert re.search(said, captured.err)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("content", "said"), [
    ("y,a\n1,2\n", "at least two rows"),
    ("y,a\n1,2\n3,four\n", "row 3, column 'a'.*'four'"),
    ("y,a\n1,2\n3,nan\n", "row 3, column 'a'.*'nan'"),
    ("y,a\n1,2\n3,2\n", "column 'a' is constant"),
])  # fmt: skip
def test_bad_data_is_one_line(tmp_path, capsys, content, said):
    path, out = tmp_path / "data.csv", tmp_path / "out"
    path.write_text(content)
    assert main([*SETTING, "--csv", str(path), "--target", "y", "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(said, error)
    assert not out.exists()


def test_unwritable_folder_is_one_line(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "report"):
        assert main([*SETTING, "--curvature", "1", "--out", str(out)]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.count("\n") == 1
        assert "output folder" in captured.err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_help_and_version(capsys):
    for arguments in (["--help"], ["report", "--help"], ["--version"]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 0
    said = capsys.readouterr().out
    assert f"heavyball_dynamics {hb.__version__}" in said
    assert "--curvature" in said
