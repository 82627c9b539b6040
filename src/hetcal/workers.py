"""What runs in a worker process, and how one is started.

Only the standard library is imported on top: the limits on threads must be set before numpy is loaded.

A worker never imports the user's ``__main__`` again, so a plain script needs no ``if __name__ ==
"__main__"``; the simulator arrives as cloudpickle bytes, once a worker. A worker dies with the process that
started it.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.context
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import popen_spawn_posix, spawn
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from hetcal.simulators import RunResult

THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
)

EXITED_WITH_0 = 256  # no process ends with this code

_state: dict[str, Any] = {}


def prepare() -> None:
    """Make this process a worker: one thread, no life beyond the parent's."""
    _die_with_parent()
    os.environ.update(dict.fromkeys(THREADS, "1"))


def start(simulator: bytes) -> None:
    """Make this process a worker that has the simulator.

    A simulator that cannot be loaded is reported by the first `run`: a worker that died here would only be
    replaced by the next.
    """
    prepare()
    import cloudpickle

    # Bytes from this user's own parent process, never from a file.
    try:
        _state["simulator"] = cloudpickle.loads(simulator)
    except Exception as error:
        _state["fault"] = f"{type(error).__name__}: {error}"


def run(theta: np.ndarray, seeds: np.ndarray) -> list[RunResult]:
    """Run the simulator of this worker at the rows of theta (n, d) with seeds (n,)."""
    if "fault" in _state:
        raise RuntimeError(
            f"a worker process cannot load the simulator ({_state['fault']}): see that what it imports is "
            "installed where the workers run, or use workers=1"
        )
    from hetcal.simulators.base import run_many

    return run_many(_state["simulator"], theta, seeds)


def _die_with_parent() -> None:
    """Ask Linux to kill this process when its parent ends, even if the parent is killed itself."""
    if sys.platform == "linux":
        import ctypes

        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
    parent = multiprocessing.parent_process()
    if parent is not None and os.getppid() != parent.pid:
        os._exit(1)  # it ended before we asked


class WorkerProcess(multiprocessing.context.SpawnProcess):
    """A spawned process that does not import ``__main__``, and whose end pebble's pool cannot overlook.

    Pebble takes exit code 0 for an orderly end and then waits for the task for ever; and it cannot tell
    which task a process had that died before the message "I have taken this task" was read.
    """

    _noticed: float | None = None
    _stopped = False

    @staticmethod
    def _Popen(process_obj: Any) -> Any:
        return _PopenWithoutMain(process_obj)

    def start(self) -> None:
        """Start the process, also from a daemonic one such as a Dask worker: ours do not outlive it."""
        config: dict[str, Any] = multiprocessing.current_process()._config  # type: ignore[attr-defined]
        daemon = config.pop("daemon", None)
        try:
            super().start()
        finally:
            if daemon is not None:
                config["daemon"] = daemon

    def terminate(self) -> None:
        """Stop the process on purpose."""
        self._stopped = True
        super().terminate()

    def is_alive(self) -> bool:
        """Whether it runs; a process that died of itself counts as alive for another 0.3 s."""
        if super().is_alive():
            return True
        if self._noticed is None:
            self._noticed = time.monotonic()
        return not self._stopped and time.monotonic() - self._noticed < 0.3

    @property
    def exitcode(self) -> int | None:
        """The exit code, `EXITED_WITH_0` in place of 0."""
        code = super().exitcode
        return EXITED_WITH_0 if code == 0 and not self._stopped else code


class WorkerContext(multiprocessing.context.SpawnContext):
    """The multiprocessing context of worker processes: spawn, without ``__main__``."""

    Process = WorkerProcess


class _PopenWithoutMain(popen_spawn_posix.Popen):
    """Start an interpreter that is not told where ``__main__`` is."""

    def _launch(self, process_obj: Any) -> None:
        with _without_main():
            super()._launch(process_obj)  # type: ignore[misc]


_patching = threading.Lock()
_this_thread = threading.local()


@contextmanager
def _without_main() -> Iterator[None]:
    """Leave ``__main__`` out of what a spawned process is told, for processes that this thread starts."""
    with _patching:
        complete = spawn.get_preparation_data

        def preparation_data(name: str) -> dict[str, Any]:
            data = complete(name)
            if getattr(_this_thread, "without_main", False):
                data.pop("init_main_from_name", None)
                data.pop("init_main_from_path", None)
            return data

        spawn.get_preparation_data = preparation_data
        _this_thread.without_main = True
        try:
            yield
        finally:
            _this_thread.without_main = False
            spawn.get_preparation_data = complete
