"""Any program as a simulator: template files in, a command run without a shell, a reader for what comes out."""

from __future__ import annotations

import functools
import math
import numbers
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from hetcal.simulators.base import Shape, check_simulator, validate_outputs
from hetcal.simulators.command_plan import Plan
from hetcal.simulators.command_process import (
    CommandFailed,
    CommandLate,
    new_folder,
    put_aside,
    remove,
    run_command,
    written,
)
from hetcal.simulators.command_readers import CSV, JSON, LongTable, ReadFault
from hetcal.simulators.identity import content_hash

KEEP = ("never", "failed", "always")
_SHORT_SEED = 2**31  # what R's and C's generators take
_READERS = (LongTable, CSV, JSON)


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Command:
    """A program of any language as a simulator.

    A run has a working directory of its own. The templates are written there with the run's values, the command is
    started there (without a shell) and what it wrote is read. Use `hetcal.simulator` for a function in Python.

    ``{name}`` in templates, arguments and environment is a placeholder for a parameter, for ``{seed}`` (the seed modulo
    2^31, which every language's generator takes; ``{long_seed}`` is the whole one, below 2^53), ``{workdir}`` (the
    working directory), ``{scenario}`` or a column of `scenarios`. Braces around anything but a name stay as they are,
    ``{{name}}`` writes ``{name}``, and ``{beta:.6f}`` gives a number's format.

    Parameters
    ----------
    command : sequence of str
        Program and arguments. With ``{file}`` it is started once for every input file, in their order; with
        ``{scenario}`` or another column of the table once a scenario; else once a run. An argument that is the path
        of a file counts by that file's content, unless `templates`, `files` or `read` have a file of that name: then
        that of the working directory is meant.
    parameters : sequence of str
        Names of the parameters; each must have a placeholder.
    outputs : mapping of str to shape
        Shape of each output, ``()`` for a scalar.
    read : mapping of str to reader, or callable
        For each output a `LongTable`, `CSV` or `JSON`; one of a file named with ``{scenario}`` gives an array whose
        first axis is the scenarios. Or a function of the working directory (a ``pathlib.Path``) that returns a dict
        of outputs. What the program prints is in the file ``run.stdout``, and ``<scenario>.stdout`` or
        ``<file>.stdout`` where it is started once for each.
    version : str
        Your version of the model.
    templates : path, sequence of paths, or mapping of str to path
        Templates of input files; a mapping says what each is called in the working directory. A name with
        ``{scenario}`` is written once a scenario.
    scenarios : DataFrame or mapping of str to mapping, optional
        A table whose index names the scenarios and whose columns are further placeholders.
    files : path or sequence of paths
        Fixed files that the program wants to find in its working directory; each run has copies. A large one that is
        only read costs nothing as an argument, ``"path/of/population.bin"``.
    environment : mapping of str to str, optional
        Variables beside those of this process.
    time_limit : float, optional
        Seconds for a run, all its starts together; everything the program started is killed then.
    keep : {"never", "failed", "always"}
        Whether working directories stay; an error text names its own. They are made below ``TMPDIR``.
    deterministic : bool
        Says that the model draws no random numbers, and so has no placeholder for the seed.
    name : str, optional
        Name in the ledger; the program's if left out.

    Raises
    ------
    ValueError
        When the command is not found, a template cannot be read or has no placeholder, a placeholder is unknown, a
        parameter has none, the seed has none, or an option is out of range.

    Notes
    -----
    A start that fails (exit code, signal) fails its run; where a run has several starts, what a failed one wrote is
    put aside as ``*.failed``, and outputs that are complete without it make the run partial. Exit code and the end of
    standard error go to the ledger's error text. What a program leaves running ends with the run; on Linux also what
    left its process group, when the run is stopped or its worker ends, however that is.

    The fingerprint covers arguments, templates, scenarios, environment, reader, and the contents of the program, of
    file arguments and of `files`, hashed when the simulator is made and again only when a size or time has changed.
    Libraries and data that the program finds by itself are not seen: change `version` with them.

    Examples
    --------
    >>> import sys
    >>> import hetcal as hc
    >>> code = "import random; random.seed({seed}); print('cases'); print(random.gauss({mean}, 1))"
    >>> model = hc.simulators.Command(
    ...     [sys.executable, "-c", code],
    ...     parameters=["mean"],
    ...     outputs={"cases": ()},
    ...     read={"cases": hc.simulators.CSV("run.stdout", "cases")},
    ...     version="1",
    ... )
    >>> round(float(model({"mean": 5.0}, seed=1)["cases"]), 3)
    6.288
    """

    command: Sequence[str] = field(kw_only=False)
    parameters: Sequence[str]
    outputs: Mapping[str, Shape]
    read: Mapping[str, Callable[..., Any]] | Callable[[Path], Mapping[str, Any]]
    version: str
    templates: Any = ()
    scenarios: Any = None
    files: Any = ()
    environment: Mapping[str, str] | None = None
    time_limit: float | None = None
    keep: str = "never"
    deterministic: bool = False
    name: str = ""

    def __post_init__(self) -> None:
        if isinstance(self.parameters, str) or not isinstance(self.parameters, Iterable):
            raise ValueError(f"parameters is {self.parameters!r}: give a list of names")
        object.__setattr__(self, "parameters", tuple(self.parameters))
        if isinstance(self.outputs, Mapping):
            shapes = {
                n: tuple(shape) if isinstance(shape, list) else shape for n, shape in self.outputs.items()
            }
            object.__setattr__(self, "outputs", shapes)
        plan = self._plan  # read now, once: a template edited while a study runs does not touch it
        object.__setattr__(self, "command", tuple(map(str, self.command)))
        object.__setattr__(self, "name", self.name or Path(plan.program.path).name)
        check_simulator(self)
        limit = self.time_limit
        if limit is not None and not (isinstance(limit, numbers.Real) and 0 < limit < math.inf):
            raise ValueError(
                f"time_limit is {limit!r}: give the seconds that a run may take, above 0, or None for no limit"
            )
        if self.keep not in KEEP:
            raise ValueError(f"keep is one of {', '.join(KEEP)}, not {self.keep!r}")
        self._check_read()

    def _check_read(self) -> None:
        """Each output has a reader of its own, or one function reads all."""
        if not isinstance(self.read, Mapping):
            if isinstance(self.read, _READERS) or not callable(self.read):
                raise ValueError(
                    f"read is {self.read!r}: give a dict of output to LongTable, CSV or JSON, or a function of the "
                    "working directory"
                )
            return
        for name in self.read:
            if name not in self.outputs:
                raise ValueError(
                    f"read has {name!r}, which is no output; outputs are {', '.join(self.outputs)}"
                )
        for name, shape in self.outputs.items():
            reader = self.read.get(name)
            if not callable(reader):
                raise ValueError(f"output {name!r} has no reader: give read a LongTable, CSV or JSON for it")
            if "{scenario}" in getattr(reader, "file", "") and shape[:1] != (len(self._plan.scenarios),):
                raise ValueError(
                    f"output {name!r} is read from a file a scenario: declare a shape whose first axis is the "
                    f"{len(self._plan.scenarios)} scenarios, not {shape}"
                )

    @functools.cached_property
    def _plan(self) -> Plan:
        readers = self.read.values() if isinstance(self.read, Mapping) else ()
        return Plan.of(
            self.command,
            self.parameters,
            self.templates,
            self.scenarios,
            self.files,
            self.environment,
            self.deterministic,
            [getattr(reader, "file", "") for reader in readers],
        )

    @property
    def fingerprint(self) -> str:
        """Hexadecimal SHA-256 of what decides the outputs; the program and files count by their contents."""
        read: Any = self.read
        if isinstance(read, Mapping):
            read = {n: [type(r).__name__, vars(r)] if isinstance(r, _READERS) else r for n, r in read.items()}
        return content_hash([self._plan.content, self.deterministic, read], f"simulator {self.name!r}")

    def __repr__(self) -> str:
        return (
            f"Command({' '.join(self.command)!r}, parameters {', '.join(self.parameters)}; "
            f"outputs {', '.join(self.outputs)}; version {self.version})"
        )

    def __call__(self, theta: dict[str, float], seed: int) -> Mapping[str, Any]:
        """Outputs of one run; one that fails raises `CommandFailed` with what there is in its `outputs`."""
        if set(theta) != set(self.parameters):
            raise ValueError(f"parameters are {', '.join(self.parameters)}, not {', '.join(theta)}")
        if self._plan.changed:
            raise CommandFailed(
                f"{self._plan.changed[0]} has changed since the simulator was made: make it again"
            )
        folder = new_folder(keep=self.keep != "never")
        values = {
            **{name: float(value) for name, value in theta.items()},
            "seed": int(seed) % _SHORT_SEED,
            "long_seed": int(seed),
            "workdir": str(folder),
        }
        try:
            outputs = self._run(folder, values)
            fault = validate_outputs(cast(Any, self), outputs)[2] if self.keep == "failed" else None
            if fault is not None:
                raise CommandFailed(fault, outputs)
        except BaseException as error:
            if self.keep == "never":
                remove(folder)
            elif isinstance(error, Exception):
                told = f"{_told(error)}; its working directory is {folder}"
                raise CommandFailed(told, getattr(error, "outputs", {})) from error
            raise
        if self.keep != "always":
            remove(folder)
        return outputs

    def _run(self, folder: Path, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Write, start, read."""
        self._plan.prepare(folder, values)
        end = None if self.time_limit is None else time.monotonic() + self.time_limit
        starts = self._plan.starts(folder, values)
        reasons: list[str] = []
        for label, arguments, environment in starts:
            left = None if end is None else end - time.monotonic()
            begun = written(folder) if len(starts) > 1 else {}
            try:
                run_command(arguments, folder, environment, left, label)
            except CommandLate as fault:
                raise CommandFailed(
                    f"exceeded the time limit of {self.time_limit:g} s and was stopped{fault}"
                ) from None
            except CommandFailed as fault:
                if len(starts) == 1:
                    raise
                reasons.append(f"{label}: {fault}")
                put_aside(folder, begun)
        if len(reasons) == len(starts):
            raise CommandFailed("; ".join(reasons))
        outputs = self._read(folder, reasons)
        if reasons:
            raise CommandFailed("; ".join(reasons), outputs)
        return outputs

    def _read(self, folder: Path, reasons: list[str]) -> Mapping[str, Any]:
        """The outputs that are there; why others are not is added to `reasons`."""
        outputs: dict[str, Any] = {}
        if not isinstance(self.read, Mapping):
            try:
                return self.read(folder)
            except Exception as fault:
                if not reasons:
                    raise
                reasons.append(_told(fault))
                return outputs
        for name, reader in self.read.items():
            try:
                outputs[name] = self._read_one(reader, folder, self.outputs[name])
            except Exception as fault:  # a user's function may raise anything
                reasons.append(f"output {name!r}: {_told(fault)}")
        return outputs

    def _read_one(self, reader: Callable[..., Any], folder: Path, shape: Shape) -> Any:
        """One output, of all scenarios where its file is named after them."""
        if not isinstance(reader, _READERS) or "{scenario}" not in reader.file:
            return reader(folder, shape)
        files = [reader.file.replace("{scenario}", scenario) for scenario in self._plan.scenarios]
        return np.stack([_of_file(reader, file)(folder, shape[1:]) for file in files])


def _told(fault: Exception) -> str:
    """What a fault says, with its type where it is none of ours."""
    own = isinstance(fault, (CommandFailed, ReadFault))
    return str(fault) if own else f"{type(fault).__name__}: {fault}"


def _of_file(reader: LongTable | CSV | JSON, file: str) -> LongTable | CSV | JSON:
    """The same reader for another file."""
    return JSON(file, *reader.keys) if isinstance(reader, JSON) else replace(reader, file=file)
