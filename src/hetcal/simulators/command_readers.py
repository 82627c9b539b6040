"""Readers of what an external program wrote: one output each, from a long table, a CSV column or a JSON entry.

A reader is called with the working directory and the declared shape, and raises `ReadFault` with one sentence where
the numbers are not there: nothing is filled in.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Shape = tuple[int, ...]


class ReadFault(Exception):
    """An output that is not in the program's files, or is not numbers of the declared shape."""


@dataclass(frozen=True)
class LongTable:
    """One measure of a long table with the columns survey, group, measure and value, as OpenMalaria writes it.

    Surveys and groups are whole numbers and make the rows and columns of the array, both ascending; every pair must be
    there once. Where the declared shape has one axis, there is one survey or one group.

    Parameters
    ----------
    file : str
        Its name in the working directory; ``{scenario}`` in it makes the scenarios the first axis.
    measure : int or str
        What the measure's column says in the lines that are wanted.
    surveys, groups : sequence of int, optional
        Those that are wanted; all of them if left out.
    separator : str
        Between columns; a tab. A first line that names the columns may give them in another order.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> import hetcal as hc
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = pathlib.Path(folder, "out.txt").write_text("1 1 3 0.5\\n1 2 3 0.25\\n1 1 0 90\\n")
    ...     hc.simulators.LongTable("out.txt", measure=3, separator=" ")(folder, (2,))
    ...
    array([0.5 , 0.25])
    """

    file: str
    measure: Any
    surveys: Sequence[int] | None = None
    groups: Sequence[int] | None = None
    separator: str = "\t"

    def __post_init__(self) -> None:
        for name in ("surveys", "groups"):
            wanted = getattr(self, name)
            if wanted is not None and (isinstance(wanted, str) or not isinstance(wanted, Iterable)):
                raise ValueError(f"{name} is {wanted!r}: give a list of whole numbers")

    def __call__(self, folder: Any, shape: Shape) -> np.ndarray:
        """The measure as an array of the declared shape."""
        cells: dict[tuple[int, int], float] = {}
        for where, row in self._rows(folder):
            if row["measure"].strip() != str(self.measure):
                continue
            survey, group = (_whole(row[name], f"{name} in {where}") for name in ("survey", "group"))
            if not (_wanted(survey, self.surveys) and _wanted(group, self.groups)):
                continue
            if (survey, group) in cells:
                raise ReadFault(
                    f"{where} is the second for survey {survey}, group {group} of measure {self.measure}"
                )
            cells[survey, group] = _number(row["value"], f"value in {where}")
        surveys = sorted({survey for survey, _ in cells} if self.surveys is None else self.surveys)
        groups = sorted({group for _, group in cells} if self.groups is None else self.groups)
        if not cells:
            raise ReadFault(f"{self.file} has no line of measure {self.measure} for what is wanted")
        for pair in ((survey, group) for survey in surveys for group in groups):
            if pair not in cells:
                raise ReadFault(
                    f"{self.file} has no line for survey {pair[0]}, group {pair[1]} of measure {self.measure}"
                )
        found = len(surveys), len(groups)
        if shape != found and (len(shape) > 1 or 1 not in found or math.prod(shape) != math.prod(found)):
            raise ReadFault(
                f"measure {self.measure} in {self.file} has {len(surveys)} surveys and {len(groups)} groups, declared "
                f"is {shape}"
            )
        return np.array([cells[survey, group] for survey in surveys for group in groups]).reshape(shape)

    def _rows(self, folder: Any) -> Iterator[tuple[str, dict[str, str]]]:
        """Each line with its place."""
        names = ["survey", "group", "measure", "value"]
        for number, line in enumerate(_text(folder, self.file).splitlines(), start=1):
            row = line.split(self.separator)
            if number == 1 and sorted(cell.strip() for cell in row) == sorted(names):
                names = [cell.strip() for cell in row]
            elif line.strip():
                where = f"line {number} of {self.file}"
                if len(row) != len(names):
                    raise ReadFault(f"{where} has {len(row)} columns, not survey, group, measure and value")
                yield where, dict(zip(names, row))


@dataclass(frozen=True)
class CSV:
    """One column of a table whose first line names the columns; its rows, in order, fill the declared shape.

    Parameters
    ----------
    file : str
        Its name in the working directory; ``{scenario}`` in it makes the scenarios the first axis.
    column : str
    separator : str
        Between columns; a comma.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> import hetcal as hc
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = pathlib.Path(folder, "out.csv").write_text("day,cases\\n1,3\\n2,8\\n")
    ...     hc.simulators.CSV("out.csv", "cases")(folder, (2,))
    ...
    array([3., 8.])
    """

    file: str
    column: str
    separator: str = ","

    def __call__(self, folder: Any, shape: Shape) -> np.ndarray:
        """The column as an array of the declared shape."""
        rows = list(csv.reader(_text(folder, self.file).splitlines(), delimiter=self.separator))
        names = [name.strip() for name in rows[0]] if rows else []
        if self.column not in names:
            raise ReadFault(
                f"{self.file} has no column {self.column!r}; it has {', '.join(names) or 'no line'}"
            )
        if names.count(self.column) > 1:
            raise ReadFault(f"{self.file} has {names.count(self.column)} columns {self.column!r}")
        place = names.index(self.column)
        values = []
        for number, row in enumerate(rows[1:], start=2):
            if row and len(row) != len(names):
                raise ReadFault(
                    f"line {number} of {self.file} has {len(row)} columns, its first line {len(names)}"
                )
            if row:
                values.append(_number(row[place], f"{self.column} in line {number} of {self.file}"))
        if len(values) != math.prod(shape):
            raise ReadFault(
                f"column {self.column!r} of {self.file} has {len(values)} rows, {math.prod(shape)} wanted"
            )
        return np.array(values).reshape(shape)


@dataclass(frozen=True)
class JSON:
    """One entry of a JSON file: a number, or nested lists of the declared shape.

    Parameters
    ----------
    file : str
        Its name in the working directory; ``{scenario}`` in it makes the scenarios the first axis.
    *keys : str
        The way to the entry, from the outside in.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> import hetcal as hc
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = pathlib.Path(folder, "out.json").write_text('{"flu": {"cases": [3, 8]}}')
    ...     hc.simulators.JSON("out.json", "flu", "cases")(folder, (2,))
    ...
    array([3., 8.])
    """

    file: str
    keys: tuple[str, ...]

    def __init__(self, file: str, *keys: str) -> None:
        object.__setattr__(self, "file", file)
        object.__setattr__(self, "keys", keys)

    def __call__(self, folder: Any, shape: Shape) -> np.ndarray:
        """The entry as an array of the declared shape."""
        name = f"entry {'.'.join(self.keys)} of {self.file}"
        try:
            entry = json.loads(_text(folder, self.file))
        except json.JSONDecodeError as error:
            raise ReadFault(f"{self.file} is not JSON: {error}") from error
        for key in self.keys:
            if not isinstance(entry, dict) or key not in entry:
                raise ReadFault(f"{self.file} has no entry {'.'.join(self.keys)}")
            entry = entry[key]
        values = _leaves(entry, name)
        try:
            found = np.asarray(entry, dtype=float).shape
        except ValueError:
            raise ReadFault(f"{name} has lists of different lengths, declared is {shape}") from None
        if found != shape:
            raise ReadFault(f"{name} has shape {found}, declared is {shape}")
        return np.array(values).reshape(shape)


def _leaves(entry: Any, name: str) -> list[float]:
    """The numbers in nested lists."""
    if isinstance(entry, list):
        return [number for part in entry for number in _leaves(part, name)]
    if isinstance(entry, bool) or not isinstance(entry, (int, float)):
        raise ReadFault(f"{name} holds {entry!r} where a number belongs")
    return [_number(entry, name)]


def _text(folder: Any, name: str) -> str:
    """What a file of the working directory holds."""
    try:
        return Path(folder, name).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ReadFault(f"{name} was not written") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ReadFault(f"{name} cannot be read ({error})") from error


def _number(value: Any, where: str) -> float:
    """A finite number."""
    try:
        number = float(str(value).replace("_", "?"))  # Python alone reads 1_000 as a number
    except ValueError:
        raise ReadFault(f"{where} is {value!r} where a number belongs") from None
    if not math.isfinite(number):
        raise ReadFault(f"{where} is {number}, not a finite number")
    return number


def _whole(text: str, where: str) -> int:
    """A whole number."""
    number = _number(text, where)
    if number != int(number):
        raise ReadFault(f"{where} is {text!r} where a whole number belongs")
    return int(number)


def _wanted(value: int, chosen: Sequence[int] | None) -> bool:
    return chosen is None or value in chosen
