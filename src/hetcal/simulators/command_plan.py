"""What a command needs for a run: input files, arguments, variables and starts, checked once and then filled."""

from __future__ import annotations

import difflib
import math
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

import pandas as pd

from hetcal.simulators.command_files import Dependency, executable
from hetcal.simulators.command_text import Text, read_template

_SEEDS = {"seed", "long_seed"}
_GIVEN = _SEEDS | {"workdir", "scenario", "file"}

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Plan:
    """The parts of a command with their contents as they were when it was made."""

    program: Dependency
    arguments: tuple[Text | Dependency, ...]
    environment: dict[str, Text]
    inputs: tuple[tuple[Text, Text], ...]  # name and content
    files: tuple[Dependency, ...]
    scenarios: dict[str, dict[str, Any]]

    @classmethod
    def of(
        cls,
        command: Sequence[str],
        parameters: Sequence[str],
        templates: Any,
        scenarios: Any,
        files: Any,
        environment: Mapping[str, str] | None,
        deterministic: bool,
        read_files: Iterable[str],
    ) -> Plan:
        """Read what is to be read and check it; see `Command`. The program writes the files that are read."""
        if (
            isinstance(command, str)
            or not command
            or not all(isinstance(word, (str, os.PathLike)) for word in command)
        ):
            raise ValueError(
                f"command is {command!r}: give a list of the program and its arguments, no shell reads it"
            )
        if environment is not None and not isinstance(environment, Mapping):
            raise ValueError(f"environment is {environment!r}: give a dict of variable to value")
        words = [os.fspath(word) for word in command]
        texts = tuple(Text(word, f"argument {word!r} of command") for word in words[1:])
        plan = cls(
            program=executable(words[0]),
            arguments=texts,
            environment={
                name: Text(str(value), f"variable {name!r} of environment")
                for name, value in (environment or {}).items()
            },
            inputs=tuple(
                (Text(name, f"file name {name!r} of templates"), read_template(Path(path)))
                for name, path in _named(templates, "templates").items()
            ),
            files=tuple(Dependency.of(path, "fixed file") for path in _paths(files, "files")),
            scenarios=_table(scenarios),
        )
        plan._check_names(set(parameters))
        plan._check_placeholders(set(parameters), deterministic)
        inside = {*plan._names, *read_files}
        return replace(plan, arguments=tuple(_argument(text, inside) for text in texts))

    @property
    def columns(self) -> set[str]:
        """Placeholders that differ by scenario."""
        return {"scenario", *next(iter(self.scenarios.values()))} if self.scenarios else set()

    @property
    def called_with(self) -> set[str]:
        """Placeholders of arguments and environment."""
        texts = [*(a for a in self.arguments if isinstance(a, Text)), *self.environment.values()]
        return {name for text in texts for name in text.names}

    @property
    def content(self) -> list[Any]:
        """All that decides what the command does, for the fingerprint: files by what they hold, not where they lie."""
        return [
            self.program.digest,
            [a.text if isinstance(a, Text) else [os.path.basename(a.path), a.digest] for a in self.arguments],
            {name: text.text for name, text in self.environment.items()},
            [[name.text, content.text] for name, content in self.inputs],
            {os.path.basename(file.path): file.digest for file in self.files},
            list(self.scenarios.items()),
        ]

    @property
    def changed(self) -> list[str]:
        """Paths of files that are no longer what they were."""
        files = [self.program, *(a for a in self.arguments if isinstance(a, Dependency)), *self.files]
        return [file.path for file in files if file.changed]

    def prepare(self, folder: Path, values: Values) -> None:
        """Write the input files of a run into its working directory, and copy the fixed ones there."""
        for _, name, content, filling in self._written(values):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.fill(filling).encode("utf-8"))
        for file in self.files:
            # No link: a program that writes to it would change the user's own, and all runs after.
            shutil.copy(file.path, folder)

    def starts(self, folder: Path, values: Values) -> list[tuple[str, list[str], dict[str, str]]]:
        """A label, the arguments and the variables of each start of a run."""
        fillings: list[tuple[str, Values]]
        if "file" in self.called_with:
            fillings = [
                (name, {**filling, "file": str(folder / name)})
                for _, name, _, filling in self._written(values)
            ]
        elif self.called_with & self.columns:
            fillings = [(name, {**values, **row, "scenario": name}) for name, row in self.scenarios.items()]
        else:
            fillings = [("run", values)]
        return [
            (
                label,
                [self.program.path, *(a.fill(v) if isinstance(a, Text) else a.path for a in self.arguments)],
                {name: text.fill(v) for name, text in self.environment.items()},
            )
            for label, v in fillings
        ]

    def _written(self, values: Values) -> Iterator[tuple[str | None, str, Text, Values]]:
        """Scenario (None for all), file name, content and values of each input file."""
        for name, content in self.inputs:
            if "scenario" in name.names:
                for scenario, row in self.scenarios.items():
                    filling = {**values, **row, "scenario": scenario}
                    yield scenario, name.fill(filling), content, filling
            else:
                yield None, name.fill({}), content, values

    @property
    def _names(self) -> list[str]:
        """What files are called in the working directory."""
        return [name for _, name, _, _ in self._written({})] + [os.path.basename(f.path) for f in self.files]

    def _check_names(self, parameters: set[str]) -> None:
        """Names that would stand for two things."""
        for name in sorted(parameters & (_GIVEN | self.columns)):
            raise ValueError(f"parameter {name!r} has the name of another placeholder: call it otherwise")
        for name in sorted((self.columns - {"scenario"}) & _GIVEN):
            raise ValueError(
                f"scenarios have a column {name!r}, the name of another placeholder: call it otherwise"
            )
        for text in (text for text, _ in self.inputs):
            if not text.names <= {"scenario"}:
                raise ValueError(f"{text.where} may have the placeholder {{scenario}} only")
            if text.names and not self.scenarios:
                raise ValueError(
                    f"{text.where} has the placeholder {{scenario}}, but scenarios= is not given"
                )
        names = self._names
        logs = {
            f"{label}.{log}" for label in ("run", *self.scenarios, *names) for log in ("stdout", "stderr")
        }
        for name in names:
            if name in logs:
                raise ValueError(f"file name {name!r} is that of what a start prints: call it otherwise")
            if PurePath(name).is_absolute() or ".." in PurePath(name).parts or not PurePath(name).name:
                raise ValueError(f"file name {name!r} of templates leads out of the working directory")
            if names.count(name) > 1:
                raise ValueError(
                    f"two input files are called {name!r}: name templates by a dict of name to path"
                )

    def _check_placeholders(self, parameters: set[str], deterministic: bool) -> None:
        """Placeholders must be known, parameters and the seed must have one."""
        called = [a for a in self.arguments if isinstance(a, Text)] + [*self.environment.values()]
        everywhere = parameters | _SEEDS | {"workdir"}
        for text in called:
            _check_known(text, everywhere | self.columns | ({"file"} if self.inputs else set()))
        for name, content in self.inputs:
            if "scenario" not in name.names and content.names & self.columns:
                raise ValueError(
                    f"{content.where} differs by scenario ({', '.join(sorted(content.names & self.columns))}): put "
                    f"{{scenario}} into its name, templates={{'{{scenario}}-{name.text}': ...}}"
                )
            _check_known(content, everywhere | (self.columns if name.names else set()))
        texts = [*called, *(content for _, content in self.inputs)]
        numbers = parameters | _SEEDS | {c for c in self.columns if self._numeric(c)}
        for text in texts:
            text.check_formats(numbers)
        used = {name for text in texts for name in text.names}
        for unused in sorted(parameters - used):
            raise ValueError(
                f"parameter {unused!r} is used by no template, argument or variable: write {{{unused}}} where it goes, "
                "or leave it out of parameters"
            )
        if not used & _SEEDS and not deterministic:
            raise ValueError(
                "there is no {seed} in any template, argument or variable, so all runs of a parameter set would be "
                "alike: write it where the seed goes, or say deterministic=True"
            )
        if used & _SEEDS and deterministic:
            raise ValueError("deterministic=True, but there is a {seed}: leave out one of them")

    def _numeric(self, column: str) -> bool:
        return all(not isinstance(row.get(column, ""), str) for row in self.scenarios.values())


def _check_known(text: Text, known: set[str]) -> None:
    """Refuse a placeholder that nothing fills, naming the nearest that something does."""
    for name in sorted(text.names - known):
        near = difflib.get_close_matches(name, sorted(known), n=1)
        raise ValueError(
            f"{text.where} has the unknown placeholder {{{name}}}"
            + (f", did you mean {{{near[0]}}}?" if near else f"; known are {', '.join(sorted(known))}.")
            + f" Write {{{{{name}}}}} where the braces belong to the text"
        )


def _argument(text: Text, inside: set[str]) -> Text | Dependency:
    """An argument: the content counts where it is a file, unless one of the working directory has its name."""
    word = text.text
    if text.names or os.path.normpath(word) in inside or not os.path.isfile(word):
        return text
    return Dependency.of(word, "argument")


def _paths(value: Any, what: str) -> list[Any]:
    """One path or several as a list."""
    if not isinstance(value, (str, os.PathLike, Iterable)):
        raise ValueError(f"{what} is {value!r}: give a path, or a list of them")
    paths = [value] if isinstance(value, (str, os.PathLike)) else list(value)
    for path in paths:
        if not isinstance(path, (str, os.PathLike)):
            raise ValueError(f"{what} has {path!r}: give paths")
    return paths


def _named(value: Any, what: str) -> dict[str, Any]:
    """Paths by the name in the working directory, their own where none is given."""
    if isinstance(value, Mapping):
        return dict(zip(map(str, value), _paths(value.values(), what)))
    paths = _paths(value, what)
    names = [os.path.basename(path) for path in paths]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two input files are called {name!r}: name {what} by a dict of name to path")
    return dict(zip(names, paths))


def _table(scenarios: Any) -> dict[str, dict[str, Any]]:
    """Scenarios by name, each with the same columns."""
    if scenarios is None:
        return {}
    if isinstance(scenarios, pd.DataFrame):
        if not scenarios.index.is_unique:
            raise ValueError("scenarios has an index in which names repeat: give each row a name of its own")
        scenarios = scenarios.to_dict("index")
    if not isinstance(scenarios, Mapping) or not scenarios:
        raise ValueError(
            f"scenarios is {scenarios!r}: give a DataFrame, or a dict of name to dict, with a row at least"
        )
    for name, row in scenarios.items():
        if not isinstance(row, Mapping):
            raise ValueError(f"scenario {name!r} is {row!r}: give a dict of column to value")
    table = {
        str(name): {str(column): value for column, value in row.items()} for name, row in scenarios.items()
    }
    if len(table) < len(scenarios):
        raise ValueError("scenarios has names that are the same as text: give each a name of its own")
    columns = next(iter(table.values())).keys()
    for name, row in table.items():
        if not re.fullmatch(r"[\w.-]+", name):
            raise ValueError(
                f"scenario {name!r} cannot stand in a file name: use letters, digits, '_', '.' and '-'"
            )
        for column in sorted(columns ^ row.keys()):
            raise ValueError(
                f"scenario {name!r} and the first differ in column {column!r}: give all the same"
            )
        for column, value in row.items():
            if value is None or (isinstance(value, float) and math.isnan(value)):
                raise ValueError(f"scenario {name!r} has no value for {column!r}")
    return table
