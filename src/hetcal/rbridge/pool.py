"""Worker processes with an R each, so that several fits run at once.

R is not thread-safe and must not be forked, so a worker is a spawned process. It uses one BLAS thread on both sides:
a fit then gives the same numbers to the bit in a worker, in this process, and on any number of cores.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import cloudpickle
import numpy as np

from hetcal import workers as worker
from hetcal.process_pool import Lost, ProcessPool
from hetcal.rbridge.errors import RError, RWorkerDied
from hetcal.threads import single_blas_thread

# With this code a worker ends itself when it could not allocate: what it holds may be what the next task lacks.
_OUT_OF_MEMORY = 112


@dataclass(frozen=True)
class Outcome:
    """What became of a call: its value or the error that ended it, and what it warned of."""

    value: Any
    error: Exception | None
    warnings: tuple[tuple[type[Warning], str], ...]

    def deliver(self, name: str) -> Any:
        """The value, or the error raised; warnings are given again here, with the name where they lack it."""
        for category, text in self.warnings:
            warnings.warn(text if name in text else f"{name}: {text}", category, stacklevel=3)
        if self.error is not None:
            self.error.add_note(f"in the fit of {name}")
            raise self.error
        return self.value


def attempt(call: Callable[[], Any]) -> Outcome:
    """Make a call with one BLAS thread and catch what it says."""
    value, error = None, None
    with warnings.catch_warnings(record=True) as caught, single_blas_thread():
        warnings.simplefilter("always")
        try:
            value = call()
        except Exception as raised:
            error = raised
    said = dict.fromkeys((w.category, str(w.message)) for w in caught)
    return Outcome(value, error, tuple(said))


class RPool:
    """Some worker processes with an R each, started when first needed and kept until closed.

    When to use: for fits that do not depend on each other, such as those of several targets.

    Parameters
    ----------
    workers : int
        Processes; more than there are cores, or than fit into memory, gain nothing.

    Raises
    ------
    ValueError
        If workers is no whole number of at least 1.

    Examples
    --------
    >>> from functools import partial
    >>> from hetcal import rbridge
    >>> with rbridge.RPool(2) as pool:
    ...     pool.run([("a", partial(max, 1, 2)), ("b", partial(min, 1, 2))])
    ...
    [2, 1]
    """

    def __init__(self, workers: int) -> None:
        if isinstance(workers, bool) or not isinstance(workers, (int, np.integer)) or workers < 1:
            raise ValueError(f"workers is {workers!r}: give a whole number of at least 1")
        self.workers = int(workers)
        self._processes: ProcessPool | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers, whatever they do."""
        if self._processes is not None:
            self._processes.__exit__(None, None, None)
            self._processes = None

    def run(self, calls: Sequence[tuple[str, Callable[[], Any]]]) -> list[Any]:
        """Values of some calls, each made in one of the workers.

        Parameters
        ----------
        calls : sequence of (str, callable)
            What warnings and errors call each, and the call without arguments. It crosses to the worker, and its
            value back, by cloudpickle.

        Returns
        -------
        list
            In the order of the calls.

        Raises
        ------
        RWorkerDied
            If a worker died at the same call twice.
        Exception
            What a call raised, with its name as a note; the others are then stopped.

        Warns
        -----
        Whatever the calls warned of.
        """
        if self._processes is None:
            self._processes = ProcessPool(self.workers, worker.prepare).__enter__()
        try:
            return self._collect(self._processes, calls)
        except BaseException:
            self.close()
            raise

    @staticmethod
    def _collect(processes: ProcessPool, calls: Sequence[tuple[str, Callable[[], Any]]]) -> list[Any]:
        sent = [cloudpickle.dumps(call) for _, call in calls]
        values: list[Any] = [None] * len(calls)
        died: set[int] = set()
        pending = {processes.schedule(_work, data): i for i, data in enumerate(sent)}
        while pending:
            for future, outcome in processes.finished(list(pending)):
                i = pending.pop(future)
                if isinstance(outcome, Lost):
                    if outcome.reason is not None and i in died:
                        raise RWorkerDied(calls[i][0], _cause(outcome))
                    if outcome.reason is not None:
                        died.add(i)
                    pending[processes.schedule(_work, sent[i])] = i
                else:
                    # Bytes from a worker of this user's own, never from a file.
                    values[i] = cloudpickle.loads(outcome).deliver(calls[i][0])
        return values


def _work(data: bytes) -> bytes:
    """Make a call in a worker; the bytes are those of its parent."""
    outcome = attempt(cloudpickle.loads(data))  # from the parent of this process, never from a file
    if isinstance(outcome.error, MemoryError) or (
        isinstance(outcome.error, RError) and "cannot allocate" in outcome.error.message
    ):
        os._exit(_OUT_OF_MEMORY)
    return cloudpickle.dumps(outcome)


def _cause(lost: Lost) -> str:
    if lost.exit_code == _OUT_OF_MEMORY:
        return "it ran out of memory: use fewer workers, or HetGP(fit_points=...) for fewer locations in R"
    if lost.exit_code == -9:
        return "it was killed, as the system does for want of memory: use fewer workers"
    return f"it {lost.reason}"
