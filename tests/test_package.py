"""The package as a whole: what is imported when, what is exported, what is shipped, what the README promises."""

from __future__ import annotations

import doctest
import importlib.metadata
import importlib.resources
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import heavyball_dynamics as hb

HEAVY = ["control", "matplotlib", "sympy", "torch"]


def _run(code: str) -> str:
    """Run code in a new interpreter that sees the same copy of the package, and return what it prints."""
    parent = str(Path(hb.__file__).resolve().parents[1])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([parent, os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "use",
    [
        "",
        "dir(hb)",
        # The core: running and analysing a rule takes NumPy and SciPy, and nothing else.
        "run = hb.iterate(hb.HeavyBall(lr=0.1, momentum=0.9), hb.Quadratic([1.0]), [1.0], steps=3)",
        "hb.integrate(hb.HeavyBallFlow(damping=0.5), hb.Quadratic([1.0]), [1.0], duration=1.0)",
        "hb.analyze_modes(hb.HeavyBall(lr=0.1, momentum=0.9), [1.0])",
    ],
    ids=["import", "dir", "iterate", "integrate", "analyze_modes"],
)
def test_heavy_packages_are_not_loaded(use):
    code = f"import sys\nimport heavyball_dynamics as hb\n{use}\nprint([m for m in {HEAVY} if m in sys.modules])"
    assert _run(code).strip() == "[]"


@pytest.mark.parametrize("name", hb.__all__)
def test_exported_name_resolves(name):
    assert getattr(hb, name) is not None
    assert name in dir(hb)


def test_exported_names_are_listed_once():
    assert len(set(hb.__all__)) == len(hb.__all__)


def test_star_import_gives_all_names():
    namespace = {}
    exec("from heavyball_dynamics import *", namespace)
    assert set(hb.__all__) <= set(namespace)


def test_unknown_name_raises_attribute_error():
    with pytest.raises(AttributeError, match="module 'heavyball_dynamics' has no attribute 'heavy_bal'"):
        hb.heavy_bal  # noqa: B018


def test_version_is_that_of_the_installed_distribution():
    try:
        installed = importlib.metadata.version("heavyball-dynamics")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("heavyball-dynamics is not installed: the tests run from the checkout")
    assert hb.__version__ == installed


def test_types_are_shipped():
    assert importlib.resources.files(hb).joinpath("py.typed").is_file()


def test_changelog_speaks_of_this_version(root):
    headings = re.findall(r"^## \[(.+?)\]", (root / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert headings, "CHANGELOG.md has no heading of a version"
    assert headings[0] in ("Unreleased", hb.__version__)


def test_citation_names_this_version(root):
    citation = (root / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(rf"^version: {re.escape(hb.__version__)}$", citation, flags=re.MULTILINE)


@pytest.fixture
def readme(root):
    path = root / "README.md"
    assert path.is_file(), "README.md is missing"
    return path.read_text(encoding="utf-8")


def test_readme_code_prints_what_it_shows(readme, tmp_path, monkeypatch, capsys):
    blocks = re.findall(r"^```python\n(.*?)^```$\s*^```text\n(.*?)^```$", readme, flags=re.MULTILINE | re.DOTALL)
    assert blocks, "README.md should have a ```python block"
    assert len(blocks) == readme.count("```python\n"), "README.md: each ```python block needs a ```text block behind it"
    monkeypatch.chdir(tmp_path)
    for code, shown in blocks:
        capsys.readouterr()
        exec(compile(code, "README.md", "exec"), {"__name__": "__main__"})
        printed = capsys.readouterr().out
        assert shown.strip(), "README.md shows no output"
        same = doctest.OutputChecker().check_output(shown, printed, doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
        assert same, f"README.md shows\n{shown}\nbut its code prints\n{printed}"


def test_contributing_shows_a_rule_that_works(root):
    text = (root / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    # The block defines a dataclass, which looks its module up.
    namespace = {"__name__": __name__}
    exec(compile(code, "CONTRIBUTING.md", "exec"), namespace)
    rule = namespace["Averaged"](lr=0.2, momentum=0.9)
    twin = hb.HeavyBall(lr=0.02, momentum=0.9)
    np.testing.assert_allclose(namespace["modes"].poles, hb.analyze_modes(twin, [1.0, 100.0]).poles, rtol=1e-12)
    same = hb.iterate(twin, hb.Quadratic([1.0, 100.0]), [1.0, 1.0], steps=200)
    np.testing.assert_allclose(namespace["run"].position, same.position, rtol=1e-9, atol=1e-15)
    assert hb.linearize(rule).nstates == 2


def test_readme_gives_the_test_command_that_ci_runs(readme, root):
    ci = root / ".ci" / "run"
    if not ci.is_file():
        pytest.skip("a source distribution has no .ci/")
    assert "python -m pytest -n auto" in readme
    assert "python -m pytest -n auto" in ci.read_text(encoding="utf-8")
