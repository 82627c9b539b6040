"""What every calibration does alike: ask, simulate, go on where it stopped, all of it kept in the ledger."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from hetcal.calibrate.study_runs import StudyRuns, speaker, warn_of_other_versions
from hetcal.ensemble import execute, open_executor
from hetcal.ledger import Ledger
from hetcal.problem import Problem
from hetcal.rbridge import RPool
from hetcal.simulators.identity import content_hash, fingerprint
from hetcal.streams import check_seed

if TYPE_CHECKING:
    import pandas as pd

View = TypeVar("View", bound=StudyRuns)
Result = TypeVar("Result")


class Method(ABC, Generic[View, Result]):
    """A calibration as a function of what the ledger holds: what to ask for next, and the result when all is there.

    A method is a frozen dataclass with a field `problem`; its other fields are its settings.

    Examples
    --------
    >>> import hetcal as hc
    >>> method = hc.BayesianCalibration(hc.studies.flu1978.study().problem, initial=20)
    >>> method.ask(hc.Ledger(), seed=1)["purpose"].unique().tolist()
    ['design']
    """

    problem: Problem

    def run(
        self,
        ledger: Ledger | None = None,
        seed: int = 0,
        workers: int = 1,
        executor: Any = None,
        time_limit: float | None = None,
        retry_failed: bool = False,
        progress: bool | None = None,
    ) -> Result:
        """Run the study to its end, or on from where it stopped.

        Parameters
        ----------
        ledger : Ledger, optional
            Where runs are kept; in memory where none is given.
        seed : int
            Everything random follows from it.
        workers : int
            Processes for the simulator, and as many with an R each where a method fits several targets at once; the
            numbers do not depend on it.
        executor : dask.distributed.Client, optional
            Runs the simulator on a cluster instead.
        time_limit : float, optional
            Seconds a run may take before it is stopped and counted as failed.
        retry_failed : bool
            First make the study's failed runs again, after what failed them was mended.
        progress : bool, optional
            Say on stderr what goes on; by default where stderr is a terminal.

        Returns
        -------
        CalibrationResult or PosteriorResult
            That of the method.
        """
        ledger = Ledger() if ledger is None else ledger
        if not isinstance(ledger, Ledger):
            raise TypeError(f"ledger is {ledger!r}: give hetcal.Ledger({ledger!r})")
        warn_of_other_versions(ledger, self.problem.simulator)
        began = time.perf_counter()
        study = self._view(ledger, seed, speaker(progress))
        study.where = {"workers": workers, "executor": executor, "time_limit": time_limit}
        with (
            open_executor(self.problem.simulator, workers, executor, time_limit) as opened,
            RPool(workers) as study.fitters,
        ):

            def simulate(runs: pd.DataFrame) -> None:
                started = time.perf_counter()
                execute(
                    self.problem.simulator,
                    self.problem.theta(runs),
                    runs["seed"].to_numpy(),
                    study.ledger,
                    executor=opened,
                    time_limit=time_limit,
                    retry_failed=retry_failed,
                    progress=False if progress is False else None,
                )
                study.seconds["simulating"] += time.perf_counter() - started

            if retry_failed:
                simulate(study.asked_runs())
                self._retry_beside(study)
            while (todo := self._ask(study, seed)) is not None:
                simulate(todo)
                study.check_repeatable(todo, opened)
            result = self._result(study, seed)
        study.seconds["total"] = time.perf_counter() - began
        return result

    def ask(self, ledger: Ledger, seed: int = 0) -> pd.DataFrame:
        """The runs that the study needs next, for people who simulate elsewhere.

        Bring the outputs back with ``ledger.add_runs(frame, problem.simulator)`` and ask again.

        Parameters
        ----------
        ledger : Ledger
        seed : int

        Returns
        -------
        pandas.DataFrame
            Columns: the parameters, seed, purpose, round; empty when the study is finished.
        """
        import pandas as pd

        todo = self._ask(self._view(ledger, seed, speaker(False)), seed)
        if todo is None:
            todo = pd.DataFrame(columns=[*self.problem.space.names, "seed", "purpose", "round"])
        return todo

    def result(self, ledger: Ledger, seed: int = 0) -> Result:
        """The result of a finished study, without simulating.

        Raises
        ------
        ValueError
            If runs are still missing.
        """
        study = self._view(ledger, seed, speaker(False))
        began = time.perf_counter()
        todo = self._ask(study, seed)
        if todo is not None:
            raise ValueError(
                f"this study is not finished: {len(todo)} runs of round {todo['round'].iloc[0]} "
                f"({todo['purpose'].iloc[0]}) are missing; run it again to go on"
            )
        result = self._result(study, seed)
        study.seconds["total"] = time.perf_counter() - began
        return result

    def study_name(self, seed: int = 0) -> str:
        """Name of this study in a ledger: another setting, target, simulator or seed is another study."""
        return f"{self.problem.simulator.name}-{self._identity(seed)[:12]}"

    def settings(self) -> dict[str, Any]:
        """The method's settings by name, for reports."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "problem"}

    def _identity(self, seed: int) -> str:
        parts: dict[str, Any] = {"problem": self.problem.describe(), "seed": check_seed(seed)}
        parts["fingerprint"] = fingerprint(self.problem.simulator)
        parts["statistics"] = [t.statistic for t in self.problem.targets]
        parts["transforms"] = [t.transform for t in self.problem.run_targets]
        parts |= {name: _plain(value) for name, value in self.settings().items()}
        return content_hash(parts, "study")

    # What a method decides

    @abstractmethod
    def _view(self, ledger: Ledger, seed: int, say: Callable[[str], None]) -> View:
        """The study in a ledger."""

    @abstractmethod
    def _decide(self, study: View, asks: pd.DataFrame, seed: int) -> bool:
        """Write the next ask; False when there is none."""

    @abstractmethod
    def _result(self, study: View, seed: int) -> Result:
        """The result of a study whose runs are all there."""

    @abstractmethod
    def _place(self, round: int) -> str:
        """What a line of progress calls a round."""

    def _retry_beside(self, study: View) -> None:
        """Make failed runs again of what a method runs beside the problem's simulator; most run nothing."""

    def _check_counts(self, least: dict[str, int], optional: tuple[str, ...] = ()) -> None:
        """Refuse settings that are no whole numbers of at least so much."""
        for name, bound in least.items():
            value = getattr(self, name)
            if name in optional and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < bound:
                raise ValueError(f"{name} is a whole number of at least {bound}, not {value!r}")

    def _ask(self, study: View, seed: int) -> pd.DataFrame | None:
        """Runs to be made next; what they belong to is written to the ledger first. None when all is done."""
        while True:
            asks = study.asks()
            if len(asks):
                todo = study.missing(asks)
                if len(todo):
                    first = todo.iloc[0]
                    where = f"{self._place(first['round'])} ({first['purpose']})"
                    study.say(f"{where}: simulating {len(todo)} runs")
                    return todo
            if not self._decide(study, asks, seed):
                return None


def _plain(value: Any) -> Any:
    """A setting as what it is made of, so that equal settings have equal hashes."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    made_of = getattr(value, "__dataclass_fields__", None)
    if made_of is None:
        return value
    return [type(value).__name__, {k: getattr(value, k) for k, f in made_of.items() if f.init}]
