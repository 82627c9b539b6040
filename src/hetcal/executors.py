"""Where runs are made: in this process or in worker processes (`hetcal.dask_executor`: on a Dask cluster).

An executor takes chunks of runs and gives back their results, or `Lost` for a chunk that took its process
with it.
"""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Collection, Hashable, Iterator
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np

from hetcal import workers as worker
from hetcal.simulators.base import RunResult, run_many
from hetcal.threads import single_blas_thread


@dataclass(frozen=True)
class Lost:
    """A chunk without results: why, or None when its runs cannot be to blame and it is to be sent again."""

    reason: str | None


Outcome = list[RunResult] | Lost


class Executor(Protocol):
    """What `hetcal.ensemble.execute` needs: a context manager with room for `slots` chunks at a time."""

    @property
    def slots(self) -> int:
        ...

    def __enter__(self) -> Self:
        ...

    def __exit__(self, *_: object) -> None:
        ...

    def submit(self, theta: np.ndarray, seeds: np.ndarray) -> Hashable:
        """Take a chunk: theta (n, d), seeds (n,); returns a token for it."""
        ...

    def finished(self, tokens: Collection[Any], wait: bool = True) -> Iterator[tuple[Any, Outcome]]:
        """Those chunks that are finished; with `wait` at least one."""
        ...


class Serial:
    """Runs in this process: no time limit, and a run that kills its process kills this one."""

    slots = 1

    def __init__(self, simulator: Any) -> None:
        self._simulator = simulator
        self._results: dict[object, Outcome] = {}

    def __enter__(self) -> Self:
        self._threads = single_blas_thread()
        self._threads.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.__exit__(None, None, None)

    def submit(self, theta: np.ndarray, seeds: np.ndarray) -> object:
        """Run a chunk now."""
        token = object()
        self._results[token] = run_many(self._simulator, theta, seeds)
        return token

    def finished(self, tokens: Collection[Any], wait: bool = True) -> Iterator[tuple[Any, Outcome]]:
        """All of them."""
        for token in tokens:
            yield token, self._results[token]
            del self._results[token]


class Processes:
    """Worker processes on this machine, by pebble: each run can be stopped, and may kill its process."""

    def __init__(self, simulator: bytes, workers: int, time_limit: float | None) -> None:
        self.slots = 2 * workers  # so that a worker need not wait for the ledger
        self._simulator = simulator
        self._workers = workers
        self._time_limit = time_limit
        self._lock = threading.Lock()
        self._pending: set[Any] = set()
        self._closed = False
        self._broken = 0

    def __enter__(self) -> Self:
        self._pool = self._new_pool()
        self._mend()  # asking a new pool for its state starts it, now and from this thread
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._closed = True
            self._give_up()

    def _new_pool(self) -> Any:
        import pebble

        return pebble.ProcessPool(
            self._workers,
            initializer=worker.start,
            initargs=(self._simulator,),
            context=worker.WorkerContext(),
        )

    def submit(self, theta: np.ndarray, seeds: np.ndarray) -> Any:
        """Queue a chunk; the time limit counts from when a worker takes it."""
        self._mend()
        future = self._pool.schedule(worker.run, args=(theta, seeds), timeout=self._time_limit)
        self._pending.add(future)
        return future

    def finished(self, tokens: Collection[Any], wait: bool = True) -> Iterator[tuple[Any, Outcome]]:
        """Chunks that are done, failed or stopped."""
        done: set[Any] = set()
        while not done:
            done, _ = concurrent.futures.wait(
                tokens, timeout=1.0 if wait else 0.0, return_when=concurrent.futures.FIRST_COMPLETED
            )
            if not wait:
                break
            self._mend()
        for token in done:
            yield token, self._outcome(token)
            self._pending.discard(token)

    def _mend(self) -> None:
        """A new pool for a broken one: pebble's breaks when a worker dies while no run is under way."""
        with self._lock:
            if self._closed or self._pool.active:
                return
            self._broken += 1
            self._give_up()
            self._pool = self._new_pool()
        if self._broken > 3:
            raise RuntimeError(
                "the worker processes die before they take a run: look for too little memory or a limit on "
                "processes, or use workers=1"
            )

    def _give_up(self) -> None:
        """Stop a pool; whoever waits for what it had taken learns of it."""
        self._pool.stop()
        self._pool.join()
        for future in list(self._pending):
            if not future.done():
                future.set_exception(BrokenProcessPool())

    def _outcome(self, future: Any) -> Outcome:
        """Results of a chunk, or why there are none."""
        import pebble

        try:
            results = future.result()
        except BrokenProcessPool:
            return Lost(None)
        except pebble.ProcessExpired as error:
            code = 0 if error.exitcode == worker.EXITED_WITH_0 else error.exitcode
            return Lost(f"killed its process (exit code {code})")
        except concurrent.futures.TimeoutError:
            return Lost(f"exceeded the time limit of {self._time_limit:g} s and was stopped")
        self._broken = 0
        return results
