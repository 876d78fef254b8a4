"""Columns of numbers from a file, for fits."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from heavyball_dynamics._types import FloatArray

_LARGEST = 1e20  # powers of their squares must be numbers


@dataclass(frozen=True)
class Table:
    """Features (row, column) with their names, and a target (row,)."""

    names: tuple[str, ...]
    features: FloatArray
    target_name: str
    target: FloatArray

    def standardized(self) -> Table:
        """Return every column with mean 0 and population standard deviation 1."""
        both = np.column_stack([self.features, self.target])
        # Of a constant column rounding may leave a tiny deviation: compare the values themselves.
        constant = np.flatnonzero(both.min(axis=0) == both.max(axis=0))
        if constant.size:
            name = (*self.names, self.target_name)[constant[0]]
            raise ValueError(
                f"column {name!r} is constant ({both[0, constant[0]]:g}) and cannot be standardized: leave it out, or "
                "pass --raw."
            )
        # In units of a power of two, which is exact, squares neither overflow nor vanish.
        both = np.ldexp(both, -np.frexp(np.abs(both).max(axis=0))[1])
        centred = both - both.mean(axis=0)
        scaled = centred / np.sqrt(np.mean(centred**2, axis=0))
        return replace(self, features=scaled[:, :-1], target=scaled[:, -1])

    def raw(self) -> Table:
        """Return the columns as they are, if their squares are finite."""
        both = np.column_stack([self.features, self.target])
        too_large = np.flatnonzero(np.abs(both).max(axis=0) > _LARGEST)
        if too_large.size:
            name = (*self.names, self.target_name)[too_large[0]]
            raise ValueError(
                f"column {name!r} holds {np.abs(both[:, too_large[0]]).max():g}, beyond {_LARGEST:g}, where "
                "powers of squares overflow: scale it down, or leave out --raw."
            )
        return self


def read_table(path: Path, target: str, features: Sequence[str] | None = None) -> Table:
    """Read a CSV file with a header line.

    Parameters
    ----------
    path : Path
        The file.
    target : str
        Name of the column to be fitted.
    features : sequence of str, optional
        Names of the columns to fit with; all others by default.

    Returns
    -------
    Table

    Raises
    ------
    ValueError
        If the file is missing, not text, has no such column, or a cell is not a finite number; rows are counted as
        in an editor, the header being row 1.
    """
    if not path.is_file():
        raise ValueError(f"no file {str(path)!r}.")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            header = [name.strip() for name in next(reader, [])]
            # The line in the file: quoted cells may span several.
            lines = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{str(path)!r} is not a CSV file in UTF-8: {error}.") from None
    except OSError as error:
        raise ValueError(f"{str(path)!r} cannot be read: {error.strerror}.") from None
    names = _columns(path, header, target, features)
    if len(lines) < 2:
        raise ValueError(f"{str(path)!r} must have at least two rows of data. It has {len(lines)}.")
    wanted = [header.index(name) for name in (*names, target)]
    data = np.array([_numbers(path, header, line, row, wanted) for line, row in lines])
    return Table(names, data[:, :-1], target, data[:, -1])


def _columns(path: Path, header: list[str], target: str, features: Sequence[str] | None) -> tuple[str, ...]:
    listed = ", ".join(header) or "none"
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise ValueError(f"{str(path)!r} has more than one column {twice[0]!r}.")
    for name in (target, *(features or ())):
        if name not in header:
            raise ValueError(f"no column {name!r} in {str(path)!r}. Its columns: {listed}.")
    names = tuple(name for name in header if name != target) if features is None else tuple(dict.fromkeys(features))
    if target in names:
        raise ValueError(f"column {target!r} is the target and cannot be a feature.")
    if not names:
        raise ValueError(f"{str(path)!r} has no column but the target {target!r}.")
    return names


def _numbers(path: Path, header: list[str], line: int, row: list[str], wanted: list[int]) -> list[float]:
    if len(row) != len(header):
        raise ValueError(f"row {line} of {str(path)!r} has {len(row)} cells, the header has {len(header)}.")
    numbers = []
    for column in wanted:
        cell = row[column].strip()
        try:
            value = float(cell)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            what = "is empty" if not cell else f"is {cell!r}, not a finite number"
            raise ValueError(f"row {line}, column {header[column]!r} of {str(path)!r} {what}.")
        numbers.append(value)
    return numbers
