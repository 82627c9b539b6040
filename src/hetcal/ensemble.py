"""Run a design with its seeds into the ledger; the same numbers in this process, in several, or on Dask."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hetcal.executors import Executor, Lost, Processes, Serial
from hetcal.frames import seed_array, theta_array, theta_blobs
from hetcal.ledger import Ledger
from hetcal.progress import Progress
from hetcal.simulators.base import RunResult, to_bytes
from hetcal.streams import simulator_seeds

if TYPE_CHECKING:
    from hetcal.problem import Problem

CHUNK_SECONDS = 0.25  # of work between two visits to the ledger
CHUNK_RUNS = 10_000


def run_ensemble(
    problem: Problem,
    design: Any,
    replicates: int = 20,
    ledger: Ledger | None = None,
    seed: int = 0,
    workers: int = 1,
    executor: Any = None,
    time_limit: float | None = None,
    seeds: Sequence[int] | None = None,
    retry_failed: bool = False,
    progress: bool | None = None,
) -> pd.DataFrame:
    """Run every parameter set of a design with several seeds, and keep each run in the ledger.

    Runs that the ledger has already are not made again. Each location has seeds of its own unless `seeds` is
    given, since emulators take the noise of different locations to be independent.

    Parameters
    ----------
    problem : Problem
        Says the space and the simulator.
    design : Design, DataFrame or array, shape (n, d)
        Parameter sets in natural units.
    replicates : int
        Seeds a location.
    ledger : Ledger, optional
        Where the runs go; in memory, and gone with the returned frame, if left out.
    seed : int
        The study's seed, from which the seeds of the runs are drawn.
    workers : int
        Worker processes. With 1 and no time limit runs are made in this process, where a run that hangs or
        kills its process is not contained.
    executor : dask.distributed.Client, optional
        A cluster in place of worker processes. hetcal, and what the simulator imports, must be installed
        there.
    time_limit : float, optional
        Seconds that one run may take, compilation at its first call included; it is stopped then, its
        process killed.
    seeds : sequence of int, optional
        Common seeds for every location in place of seeds of their own: for methods that model or pair them.
    retry_failed : bool
        Make failed runs again.
    progress : bool, optional
        Show a progress bar; by default on a terminal when the work takes longer than two seconds.

    Returns
    -------
    DataFrame
        The design's runs, all seeds of the first location first: run_id, a column a parameter, seed, status,
        seconds, error. A run that raised, hung, died or returned rubbish is a row with status failed and its
        reason.

    Raises
    ------
    ValueError
        For a design with other parameters than the problem's or with NaN, bad seeds, workers or time limits.

    Examples
    --------
    >>> import numpy as np
    >>> import hetcal as hc
    >>> space = hc.Space([hc.Parameter("rate", hc.uniform(1, 5))])
    >>> @hc.simulator(parameters=["rate"], outputs={"cases": (3,)}, version="1")
    ... def model(theta, seed):
    ...     return {"cases": np.random.default_rng(seed).poisson(theta["rate"], 3)}
    ...
    >>> problem = hc.Problem(space, model, [hc.Target("cases", observed=[2, 3, 4], loss="rss")])
    >>> runs = hc.run_ensemble(problem, [[2.0], [4.0]], replicates=3, seed=1)
    >>> runs["status"].tolist()
    ['ok', 'ok', 'ok', 'ok', 'ok', 'ok']
    """
    simulator = problem.simulator
    points = problem.space.frame(problem.space.array(design))
    points = points[list(simulator.parameters)].to_numpy(dtype=float)
    if seeds is None:
        _check_whole("replicates", replicates)
        each = [simulator_seeds(seed, "ensemble", 0, location, replicates) for location in range(len(points))]
    else:
        each = [seed_array(list(seeds))] * len(points)
    theta = np.repeat(points, [len(numbers) for numbers in each], axis=0)
    numbers = np.concatenate(each) if each else np.empty(0, dtype=np.int64)
    ledger = Ledger() if ledger is None else ledger
    execute(
        simulator,
        theta,
        numbers,
        ledger,
        workers=workers,
        executor=executor,
        time_limit=time_limit,
        retry_failed=retry_failed,
        progress=progress,
    )
    _, _, run_id = ledger.lookup(simulator, theta, numbers)
    return ledger.runs(simulator).set_index("run_id").loc[run_id].reset_index()


def execute(
    simulator: Any,
    theta: Any,
    seeds: Any,
    ledger: Ledger,
    workers: int = 1,
    executor: Any = None,
    time_limit: float | None = None,
    retry_failed: bool = False,
    progress: bool | None = None,
) -> int:
    """Make those runs that the ledger does not have, recording them as they arrive; returns how many were
    made.

    The level below `run_ensemble`, for calibration loops: arguments as there.

    Parameters
    ----------
    simulator : simulator
    theta : array_like, shape (n, d)
        Parameter sets in natural units, in the order of the simulator's parameters.
    seeds : array_like of int, shape (n,)
    ledger : Ledger
    workers, executor, time_limit, retry_failed, progress
        See `run_ensemble`; `executor` may also be what `open_executor` gave, entered by the caller.
    """
    where: AbstractContextManager[Executor]
    if hasattr(executor, "slots"):
        where = nullcontext(executor)
    else:
        where = open_executor(simulator, workers, executor, time_limit)
    number = ledger.register(simulator)
    theta, seeds = theta_array(theta, simulator.parameters), seed_array(seeds)
    todo = np.flatnonzero(ledger.missing(number, theta, seeds, retry_failed))
    first = dict(zip(zip(theta_blobs(theta[todo[::-1]]), seeds[todo[::-1]].tolist()), todo[::-1].tolist()))
    todo = np.sort(np.fromiter(first.values(), dtype=np.int64, count=len(first)))
    if not len(todo):
        return 0
    target = CHUNK_SECONDS if time_limit is None else min(CHUNK_SECONDS, time_limit / 4)
    with where as opened, Progress(len(todo), "runs", progress) as bar:
        _Work(opened, ledger, number, theta[todo], seeds[todo], target, bar).do()
    return len(todo)


def open_executor(
    simulator: Any, workers: int = 1, executor: Any = None, time_limit: float | None = None
) -> Executor:
    """The executor for these arguments (see `run_ensemble`), to be entered once for many calls of `execute`.

    Raises
    ------
    TypeError
        When `executor` is no Dask client.
    ValueError
        When the simulator cannot be sent to a worker, or an argument is out of range.
    """
    _check_whole("workers", workers)
    if executor is not None and workers != 1:
        raise ValueError(f"workers={workers} beside an executor: a Dask cluster has its own, leave one out")
    if time_limit is not None and not time_limit > 0:
        raise ValueError(f"time_limit is {time_limit!r}: give the seconds that a run may take, above 0")
    if executor is None and workers == 1 and time_limit is None:
        return Serial(simulator)
    try:
        data = to_bytes(simulator)
    except Exception as error:
        raise ValueError(
            f"simulator {simulator.name!r} cannot be sent to worker processes ({type(error).__name__}: "
            f"{error}): open files, locks and connections inside the run, or use workers=1 without a time limit"
        ) from error
    if executor is None:
        return Processes(data, workers, time_limit)
    from hetcal.dask_executor import Dask

    return Dask(data, executor, time_limit)


class _Work:
    """Chunks of runs on their way through an executor into the ledger."""

    def __init__(
        self,
        executor: Executor,
        ledger: Ledger,
        simulator: int,
        theta: np.ndarray,
        seeds: np.ndarray,
        target: float,
        bar: Progress,
    ) -> None:
        self.executor, self.ledger, self.simulator, self.bar = executor, ledger, simulator, bar
        self.theta, self.seeds = theta, seeds
        self.target = target
        self.begun = 0
        self.seconds = np.inf  # a run, as last measured
        self.again: deque[np.ndarray] = deque()
        self.pending: dict[Any, np.ndarray] = {}

    def do(self) -> None:
        """Keep the executor full until all is done."""
        try:
            while self.again or self.begun < len(self.seeds) or self.pending:
                slots = self.executor.slots
                while len(self.pending) < slots and (self.again or self.begun < len(self.seeds)):
                    rows = self.again.popleft() if self.again else self.next_chunk(slots)
                    self.pending[self.executor.submit(self.theta[rows], self.seeds[rows])] = rows
                self.keep_finished(wait=True)
        except KeyboardInterrupt:
            self.keep_finished(wait=False)
            raise

    def next_chunk(self, slots: int) -> np.ndarray:
        """The next runs: about as many as take `target` seconds, few enough that no slot stays empty."""
        share = (len(self.seeds) - self.begun) // slots
        size = max(1, min(int(self.target / max(self.seconds, 1e-9)), share, CHUNK_RUNS))
        rows = np.arange(self.begun, self.begun + size)
        self.begun += size
        return rows

    def keep_finished(self, wait: bool) -> None:
        """Record what has arrived; a lost chunk goes again run by run, so that only the culprit fails."""
        for token, outcome in self.executor.finished(list(self.pending), wait):
            rows = self.pending[token]
            if isinstance(outcome, Lost) and outcome.reason is None:
                self.again.append(rows)
            elif isinstance(outcome, Lost) and len(rows) > 1:
                self.again.extend(rows[:, np.newaxis])
            else:
                if isinstance(outcome, Lost):
                    outcome = [RunResult("failed", np.empty(0), np.nan, outcome.reason)]
                else:
                    self.seconds = sum(result.seconds for result in outcome) / len(rows)
                self.ledger.record(self.simulator, self.theta[rows], self.seeds[rows], outcome)
                self.bar.advance(len(rows))
            del self.pending[token]


def _check_whole(name: str, value: Any) -> None:
    """Refuse what is no whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{name} is {value!r}: give a whole number of at least 1")
