"""Where runs are made: in this process or in worker processes (`hetcal.dask_executor`: on a Dask cluster).

An executor takes chunks of runs and gives back their results, or `Lost` for a chunk that took its process
with it.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator
from typing import Any, Protocol, Self

import numpy as np

from hetcal import workers as worker
from hetcal.process_pool import Lost, ProcessPool
from hetcal.simulators.base import RunResult, run_many
from hetcal.threads import single_blas_thread


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


class Processes(ProcessPool):
    """Worker processes on this machine: each run can be stopped, and may kill its process."""

    def __init__(self, simulator: bytes, workers: int, time_limit: float | None) -> None:
        super().__init__(workers, worker.start, (simulator,), time_limit)
        self.slots = 2 * workers  # so that a worker need not wait for the ledger

    def submit(self, theta: np.ndarray, seeds: np.ndarray) -> Any:
        """Queue a chunk; the time limit counts from when a worker takes it."""
        return self.schedule(worker.run, theta, seeds)
