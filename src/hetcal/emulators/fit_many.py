"""Many fits at once: one after another here, or side by side in worker processes with an R each."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hetcal.rbridge.pool import RPool, attempt


@dataclass(frozen=True, eq=False)
class FitTask:
    """One fit to be made.

    Attributes
    ----------
    emulator : HetGP
        Unfitted pattern; a copy of it is fitted.
    X, y : numpy.ndarray
        Runs: points of the unit cube (N, d) and values (N,).
    seeds : numpy.ndarray, optional
        Of the runs, (N,).
    start : dict, optional
        `hyperparameters` of an earlier fit.
    name : str
        What warnings and errors call the fit.
    """

    emulator: Any
    X: np.ndarray
    y: np.ndarray
    seeds: np.ndarray | None = None
    start: dict[str, Any] | None = None
    name: str = "emulator"

    def fit(self) -> Any:
        """The fitted emulator."""
        emulator = copy.copy(self.emulator)
        return emulator.fit(self.X, self.y, seeds=self.seeds, start=self.start, name=self.name)


def fit_many(tasks: Sequence[FitTask], workers: int | RPool = 1) -> list[Any]:
    """Fitted emulators of some tasks, in their order.

    Parameters
    ----------
    tasks : sequence of FitTask
    workers : int or hetcal.rbridge.RPool
        Processes with an R each, for these fits; 1 fits in this process. Or workers that are kept for later fits.
        No number depends on it.

    Returns
    -------
    list

    Raises
    ------
    hetcal.rbridge.RWorkerDied
        If a fit ends its worker twice.
    Exception
        What a fit raised, with its name as a note.

    Warns
    -----
    FitWarning, hetcal.rbridge.RWarning
        Those of the fits, with their names.

    Examples
    --------
    >>> import numpy as np
    >>> import hetcal as hc
    >>> from hetcal.emulators.fit_many import FitTask, fit_many
    >>> X = np.repeat(np.linspace(0, 1, 10), 5)[:, None]
    >>> y = np.random.default_rng(0).normal(np.sin(6 * X[:, 0]), 0.3)
    >>> pattern = hc.HetGP(noise="homoskedastic")
    >>> [cases, deaths] = fit_many([FitTask(pattern, X, y), FitTask(pattern, X, y - X[:, 0])])
    >>> cases.state.X0.shape
    (10, 1)
    """
    if not isinstance(workers, RPool):
        with RPool(workers) as pool:
            return fit_many(tasks, pool)
    if min(workers.workers, len(tasks)) <= 1:
        return [attempt(task.fit).deliver(task.name) for task in tasks]
    return workers.run([(task.name, task.fit) for task in tasks])
