"""The command line: ``heavyball report``."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from heavyball_dynamics import __version__
from heavyball_dynamics._output import staged
from heavyball_dynamics._table import Table, read_table
from heavyball_dynamics.correspondence.dialects import DIALECTS, from_dialect
from heavyball_dynamics.correspondence.rules import RULES
from heavyball_dynamics.figures.page import write_report
from heavyball_dynamics.objectives.data_fits import LeastSquares
from heavyball_dynamics.objectives.landscapes import LANDSCAPES
from heavyball_dynamics.studies.mode_report import report
from heavyball_dynamics.studies.report_result import Report

_FORMATS = ("png", "pdf", "svg")
_LARGEST = 1e30
_NAMED = 8  # curvatures listed in the title
_OPTIMIZERS = ("heavy_ball", "nesterov")


class _UsageError(Exception):
    """What the user passed in cannot be used."""


class _Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one line, without a usage dump."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # Before Python 3.14 argparse takes -1e-3 for the name of an option.
        self._negative_number_matcher = re.compile(r"-(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$")

    def error(self, message: str) -> NoReturn:
        raise _UsageError(f"{message} (see {self.prog} --help)")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    Parameters
    ----------
    arguments : sequence of str, optional
        Arguments after the program's name; those of the process by default.

    Returns
    -------
    int
        0 for a report, also on a setting that diverges; 2 for bad input, said in one line on stderr.
    """
    try:
        options = _parser().parse_args(arguments)
        run: Callable[[argparse.Namespace], None] = options.run
        run(options)
    except _UsageError as error:
        print(f"heavyball: error: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="heavyball", description="Momentum optimization as a damped oscillator.")
    parser.add_argument("--version", action="version", version=f"heavyball_dynamics {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND", parser_class=_Parser)
    command = commands.add_parser(
        "report", help="say which physical system a learning rate, a momentum and a loss are, mode by mode",
        description="Say which physical system a learning rate, a momentum and a loss are, mode by mode. Prints a "
        "table and writes report.html, report.json and six figures.",
        epilog="Exit status: 0 with a report, also where the setting diverges; 2 for bad input.",
    )  # fmt: skip
    command.set_defaults(run=_report)
    _add_method(command.add_argument_group("optimizer"))
    _add_loss(command)
    _add_output(command.add_argument_group("reading and output"))
    return parser


def _add_method(group: Any) -> None:
    group.add_argument("--lr", type=float, required=True, help="learning rate, > 0, in the terms of the dialect")
    group.add_argument("--momentum", type=float, required=True, help="momentum, in (-1, 1]")
    group.add_argument("--optimizer", choices=_OPTIMIZERS, default="heavy_ball", help="default: %(default)s")
    group.add_argument("--dialect", choices=tuple(DIALECTS), default="torch",
                       help="whose learning rate it is; default: %(default)s")  # fmt: skip
    group.add_argument("--dampening", type=float, default=0.0, help="torch's dampening; default: 0")


def _add_loss(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("loss (one of --csv, --curvature, --objective)")
    source = group.add_mutually_exclusive_group(required=True)
    source.add_argument("--csv", type=Path, metavar="FILE", help="data with a header line, for least squares")
    source.add_argument("--curvature", type=float, nargs="+", metavar="VALUE", help="eigenvalues of a quadratic loss")
    source.add_argument("--objective", choices=tuple(LANDSCAPES), help="a named loss, linearized at its minimum")
    group.add_argument("--target", metavar="COLUMN", help="with --csv: the column to be fitted")
    group.add_argument("--features", nargs="+", metavar="COLUMN", help="with --csv: the columns to fit with; "
                       "default: all others")  # fmt: skip
    group.add_argument("--raw", action="store_true", help="with --csv: do not standardize the columns")
    group.add_argument("--l2", type=float, default=0.0, help="with --csv: ridge, added to every curvature; default: 0")


def _add_output(group: Any) -> None:
    group.add_argument("--rule", choices=tuple(RULES), default="central", help="how mass and damping are read off; "
                       "default: %(default)s")  # fmt: skip
    free = group.add_mutually_exclusive_group()
    free.add_argument("--mass", type=float, help="mass of the oscillator; default: 1")
    free.add_argument("--dt", type=float, help="time of one step, instead of the mass")
    group.add_argument("--out", type=Path, default=Path("report"), metavar="FOLDER", help="default: %(default)s")
    group.add_argument("--format", choices=_FORMATS, nargs="+", default=["png", "pdf"], help="of the figures; default: "
                       "png pdf")  # fmt: skip


def _report(options: argparse.Namespace) -> None:
    _check(options)
    with _as_usage_errors():
        found = _found(options)
        with staged(options.out) as folder:
            write_report(found, folder, formats=tuple(dict.fromkeys(options.format)))
    print(found.summary())
    if found.diverges:
        print("\nThis setting DIVERGES.")
    print(f"\nWritten to {options.out}: report.html, report.json and the figures.")


def _check(options: argparse.Namespace) -> None:
    """Check what the library would let through, since analyses must be able to cross it."""
    if not 0 < options.lr < float("inf"):
        raise _UsageError(f"--lr must be > 0 and finite. Received {options.lr!r}.")
    for name, values in (("lr", [options.lr]), ("curvature", options.curvature or [])):
        for value in values:
            if value and abs(value) < float("inf") and not 1 / _LARGEST <= abs(value) <= _LARGEST:
                raise _UsageError(f"--{name} must be between {1 / _LARGEST:g} and {_LARGEST:g} in size, since "
                                  f"powers and products of it must be numbers. Received {value!r}.")  # fmt: skip
    if not -1 < options.momentum <= 1:
        raise _UsageError(f"--momentum must be in (-1, 1]. Received {options.momentum!r}.")
    for name in ("target", "features"):
        if options.csv is None and getattr(options, name) is not None:
            raise _UsageError(f"--{name} belongs to --csv.")
    if options.csv is None and (options.raw or options.l2):
        raise _UsageError(f"{'--raw' if options.raw else '--l2'} belongs to --csv.")
    if options.csv is not None and options.target is None:
        raise _UsageError("--csv needs --target, the column to be fitted.")


@contextmanager
def _as_usage_errors() -> Iterator[None]:
    """Turn what the library refuses into one line."""
    try:
        yield
    except OverflowError as error:
        said = "these numbers lead out of the range of floating point: scale the loss, --lr, --mass or --dt."
        raise _UsageError(said) from error
    except (ValueError, TypeError, OSError) as error:
        raise _UsageError(" ".join(str(error).split())) from error


def _found(options: argparse.Namespace) -> Report:
    method = from_dialect(
        options.dialect, lr=options.lr, momentum=options.momentum, nesterov=options.optimizer == "nesterov",
        dampening=options.dampening,
    )  # fmt: skip
    reading = {"rule": options.rule, "mass": options.mass, "dt": options.dt, "dialect": options.dialect}
    if options.csv is not None:
        table = read_table(options.csv, options.target, options.features)
        table = table.raw() if options.raw else table.standardized()
        return _least_squares(method, table, options, reading)
    if options.objective is not None:
        loss: Any = LANDSCAPES[options.objective]()
        name = options.objective.replace("_", " ").capitalize()
        title = f"{name} in {loss.dim} dimensions, linearized at its minimum"
        return report(method, loss, title=title, **reading)
    return report(method, options.curvature, title=_listed(options.curvature), **reading)


def _listed(curvatures: Sequence[float]) -> str:
    if len(curvatures) > _NAMED:
        low, high = min(curvatures), max(curvatures)
        return f"Quadratic loss with {len(curvatures)} curvatures from {low:g} to {high:g}"
    many = "curvatures" if len(curvatures) > 1 else "curvature"
    return f"Quadratic loss with {many} {', '.join(f'{value:g}' for value in curvatures)}"


def _least_squares(method: Any, table: Table, options: argparse.Namespace, reading: dict[str, Any]) -> Report:
    loss = LeastSquares(table.features, table.target, options.l2)
    scaled = "raw" if options.raw else "standardized"
    rows, columns = table.features.shape
    title = f"Least squares of {options.target} on {columns} {scaled} features, {rows} rows of {options.csv.name}"
    return report(method, loss, title=title, position=[0.0] * columns, coordinates=table.names, **reading)
