"""One start of an external program: in a process group of its own, with a time limit, and never left behind.

Three ways lead to an end: the program ends; this process ends it (time limit, Ctrl-C); or this process is killed
itself, by an executor's time limit for instance, and its guard (`command_guard`) ends the program.
"""

from __future__ import annotations

import atexit
import itertools
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hetcal.simulators import command_guard

_TAIL = 1000  # characters of standard error that are told


class CommandFailed(Exception):
    """A run without all its outputs: why, and those that are there in `outputs`."""

    def __init__(self, reason: str, outputs: Mapping[str, Any] | None = None) -> None:
        super().__init__(reason)
        self.outputs = outputs or {}


class CommandLate(CommandFailed):
    """A program that was stopped by its time limit; the message is the end of standard error."""


class _Guard:
    """The guard of this process and the folder of its working directories."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self.mark = secrets.token_hex(8) + "."
        self.folder = tempfile.mkdtemp(prefix="hetcal-")
        self._runs = itertools.count()
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", command_guard.__file__, self.mark, self.folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        atexit.register(self.release)

    @property
    def usable(self) -> bool:
        """Whether guard and folder are there (old folders get swept away) and this process's own: a fork's are not."""
        return self.owner == os.getpid() and self._process.poll() is None and os.path.isdir(self.folder)

    def next_mark(self) -> str:
        """A mark for the next command, which begins with the guard's own."""
        return f"{self.mark}{next(self._runs)}."

    def release(self) -> None:
        """Let the guard go, and wait for it; by a word, since a fork of this process may hold its pipe open."""
        if self.owner == os.getpid():
            self._process.communicate(b"end\n")


_guard: _Guard | None = None
_making = threading.Lock()


def guard() -> _Guard:
    """The guard of this process, started at the first call."""
    global _guard
    with _making:
        if _guard is None or not _guard.usable:
            _guard = _Guard()
        return _guard


def new_folder(keep: bool) -> Path:
    """A new working directory; one that need not be kept is removed at the latest when this process ends."""
    return Path(tempfile.mkdtemp(prefix="hetcal-run-", dir=None if keep else guard().folder))


def run_command(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str], seconds: float | None, log: str
) -> None:
    """Run a program in a folder until it ends, and end all that it started.

    Its output goes to ``<log>.stdout`` and ``<log>.stderr`` of the folder.

    Raises
    ------
    CommandLate
        When the program takes longer than `seconds`.
    CommandFailed
        When it cannot be started or ends with an error; with the exit code and the end of standard error.
    """
    mark = guard().next_mark()
    stderr = folder / f"{log}.stderr"
    with open(folder / f"{log}.stdout", "wb") as out, open(stderr, "wb") as err:
        try:
            process = subprocess.Popen(
                arguments,
                cwd=folder,
                env={**os.environ, **environment, command_guard.VARIABLE: mark},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        except OSError as error:
            raise CommandFailed(f"cannot start {arguments[0]}: {error.strerror}") from error
    late = threading.Event()
    timer = None if seconds is None else threading.Timer(max(seconds, 0.0), _stop, (process, mark, late))
    ended = False
    try:
        if timer is not None:
            timer.start()
        code = process.wait()
        ended = not late.is_set()
    finally:
        if timer is not None:
            timer.cancel()
            timer.join()
        _kill_group(process.pid)
        if not ended:
            command_guard.kill_marked(mark)
            process.wait()
    if late.is_set():
        raise CommandLate(_tail(stderr))
    if code < 0:
        # Those between SIGRTMIN and SIGRTMAX have no names.
        name = next((each.name for each in signal.Signals if each == -code), str(-code))
        raise CommandFailed(f"was ended by signal {name}{_tail(stderr)}")
    if code > 0:
        raise CommandFailed(f"ended with exit code {code}{_tail(stderr)}")


def _stop(process: subprocess.Popen[bytes], mark: str, late: threading.Event) -> None:
    """End a program that is late, unless it has just ended."""
    if process.poll() is None:
        late.set()
        _kill_group(process.pid)
        command_guard.kill_marked(mark)


def _kill_group(group: int) -> None:
    """Kill what is left of a process group."""
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass  # nothing is left (macOS says EPERM of zombies)


def _tail(path: Path) -> str:
    """The end of what a program wrote to standard error, ready to stand after a reason."""
    with open(path, "rb") as file:
        file.seek(max(0, os.path.getsize(path) - _TAIL))
        text = file.read().decode("utf-8", "replace").strip()
    return f"; standard error ends: {text}" if text else "; nothing on standard error"


def written(folder: Path) -> dict[Path, int]:
    """Files of a working directory with their times of change."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def put_aside(folder: Path, before: Mapping[Path, int]) -> None:
    """Rename the files that were written since `before`, so that nobody reads them."""
    for path, time in written(folder).items():
        if before.get(path) != time:
            path.rename(path.with_name(path.name + ".failed"))


def remove(folder: Path) -> None:
    """Remove a working directory."""
    shutil.rmtree(folder, ignore_errors=True)
