"""Study: what `hetcal run` runs, and how it is found by name or in a user's file."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from hetcal.studies.answers import Answers

if TYPE_CHECKING:
    import pandas as pd

    from hetcal.ledger import Ledger
    from hetcal.problem import Problem
    from hetcal.report import Exhibit

SHIPPED = ("flu1978", "flu1978_bed", "hagelloch", "many_losses", "three_cluster")
BUDGETS = ("quick", "full")


class StudyError(ValueError):
    """A study cannot be found or read; the message says where and what to do."""


@dataclass(frozen=True, eq=False)
class Study:
    """A problem, the method that calibrates it, and what a reader of the report has to know.

    Define one in a file of your own as ``study = hc.Study(...)`` and run it with ``hetcal run my_study.py``. A file
    may define a function ``study(budget)`` instead, which makes one for the budget "quick" or "full".

    Parameters
    ----------
    name : str
        Short; names the folder of results.
    problem : Problem
    method : BayesianCalibration, Posterior or EnsemblePosterior
        Of this problem.
    title : str
        The report's headline.
    source : str
        Where the data come from.
    story : str, optional
        What happened, how the model sees it, how the answer differs from others'; a blank line between paragraphs.
    look_at : sequence of str, optional
        What to look at in the report, a sentence each.
    posterior : Posterior, optional
        Of the same problem: the report then has a verdict and intervals beside the best fit. It takes over the runs
        that the method made.
    scenarios : dict, optional
        What could be done, by name: see `PosteriorResult.scenarios`. Their runs are made by this process or its
        workers, also where others are made by file.
    outcome : str or callable, optional
        What the scenarios are judged by, the lower the better.
    draws : int
        Draws from the posterior at which each scenario is run.
    exact : bool
        Compute the exact posterior too, for a simulator that can be stepped.
    exhibits : callable, optional
        What the study shows beside its answer: a function of its `Answers` that returns a list of `Exhibit`. Runs that
        it needs come from ``answers.simulate``, so that a report is drawn again without simulating.

    Raises
    ------
    StudyError
        If the name cannot name a folder, the method belongs to another problem, `story` is no text or `look_at` no
        list of texts.

    Examples
    --------
    >>> import numpy as np
    >>> import hetcal as hc
    >>> @hc.simulator(parameters=["rate"], outputs={"cases": (3,)}, version="1")
    ... def outbreak(theta, seed):
    ...     return {"cases": np.random.default_rng(seed).poisson(theta["rate"], 3)}
    ...
    >>> problem = hc.Problem(
    ...     hc.Space([hc.Parameter("rate", hc.uniform(1, 50))]),
    ...     outbreak,
    ...     [hc.Target("cases", observed=[21, 18, 25], loss="poisson_deviance")],
    ... )
    >>> study = hc.Study(
    ...     name="outbreak",
    ...     problem=problem,
    ...     method=hc.BayesianCalibration(problem, initial=20, rounds=3),
    ...     title="Three days of cases",
    ...     source="made up for this example",
    ... )
    >>> study
    Study('outbreak': outbreak by BayesianCalibration)
    """

    name: str
    problem: Problem
    method: Any
    title: str
    source: str
    story: str = ""
    look_at: tuple[str, ...] = ()
    posterior: Any = None
    scenarios: Mapping[str, Any] = field(default_factory=dict)
    outcome: Any = None
    draws: int = 500
    exact: bool = False
    exhibits: Callable[[Answers], Sequence[Exhibit]] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip(". ") or set(self.name) & set("/\\"):
            raise StudyError(
                f"name={self.name!r} cannot name a folder of results: give a short name like 'flu1978'"
            )
        for part in self.methods:
            if getattr(part, "problem", None) is not self.problem:
                raise StudyError(
                    f"the method of study {self.name!r} is {type(part).__name__} of another problem: make both "
                    "from one, as in problem=problem, method=hetcal.BayesianCalibration(problem)"
                )
        if (self.scenarios or self.exact) and not hasattr(self.methods[-1], "observation"):
            raise StudyError(
                f"study {self.name!r} has scenarios or exact=True but no posterior: give "
                "posterior=hetcal.Posterior(...)"
            )
        if self.outcome is not None and not self.scenarios:
            raise StudyError(f"outcome of study {self.name!r} judges scenarios: give scenarios= too")
        if self.scenarios and self.outcome is None:
            raise StudyError(
                f"scenarios of study {self.name!r} need outcome=, the output that they are judged by"
            )
        if self.exhibits is not None and not callable(self.exhibits):
            raise StudyError(
                f"exhibits of study {self.name!r} is {self.exhibits!r}: give a function of the study's answers that "
                "returns a list of hetcal.Exhibit"
            )
        if not isinstance(self.story, str):
            raise StudyError(
                f"story of study {self.name!r} is one text, blank lines between paragraphs, not {self.story!r}"
            )
        if isinstance(self.look_at, str) or not all(isinstance(text, str) for text in self.look_at):
            raise StudyError(f"look_at of study {self.name!r} is a list of sentences, not {self.look_at!r}")
        object.__setattr__(self, "look_at", tuple(self.look_at))

    @property
    def methods(self) -> tuple[Any, ...]:
        """The method, and the posterior where one comes after it."""
        return (self.method,) if self.posterior is None else (self.method, self.posterior)

    def ask(self, ledger: Ledger, seed: int = 0) -> pd.DataFrame:
        """The runs that the study needs next: parameters, seed, purpose, round; empty when all of them are there."""
        for method in self.methods:
            todo = method.ask(ledger, seed)
            if len(todo):
                return todo
        return todo

    def run(self, ledger: Ledger | None = None, seed: int = 0, **options: Any) -> Answers:
        """Run the study to its end, or on from where it stopped; options as of the method's ``run``."""
        from hetcal.ledger import Ledger

        ledger = Ledger() if ledger is None else ledger
        results = [method.run(ledger, seed, **options) for method in self.methods]
        return self._answers(results, options)

    def result(self, ledger: Ledger, seed: int = 0) -> Answers:
        """What a study whose runs are there found; only scenarios' runs that are missing are made."""
        return self._answers([method.result(ledger, seed) for method in self.methods], {})

    def _answers(self, results: list[Any], options: dict[str, Any]) -> Answers:
        posterior = results[-1] if hasattr(self.methods[-1], "observation") else None
        scenarios = None
        if self.scenarios and posterior is not None:
            options = {name: value for name, value in options.items() if name != "retry_failed"}
            scenarios = posterior.scenarios(self.scenarios, self.outcome, draws=self.draws, **options)
        if self.exact and posterior is not None:
            posterior.exact()
        answers = Answers(results[0], posterior, scenarios, workers=options.get("workers", 1))
        if self.exhibits is None:
            return answers
        from hetcal.report.exhibits import checked_exhibits

        return replace(answers, exhibits=checked_exhibits(self.exhibits(answers)))

    def __repr__(self) -> str:
        return f"Study({self.name!r}: {self.problem.simulator.name} by {type(self.method).__name__})"


def load(which: str, budget: str | None = None) -> Study:
    """Find a study: a shipped one by its name, a user's own by the path of its Python file.

    Parameters
    ----------
    which : str
        A name in `SHIPPED`, or a path that ends in ``.py``.
    budget : {"quick", "full"}, optional
        For studies that offer the choice; quick where none is given.

    Returns
    -------
    Study

    Raises
    ------
    StudyError
        If there is no such study or file, the file cannot be read or stops with an error, or defines no study.

    Examples
    --------
    >>> import hetcal as hc
    >>> hc.studies.load("flu1978", "full").method.rounds
    25
    """
    if budget is not None and budget not in BUDGETS:
        raise StudyError(f"unknown budget {budget!r}: choose one of {', '.join(BUDGETS)}")
    if which in SHIPPED:
        return import_module(f"hetcal.studies.{which}").study(budget or "quick")
    if not which.endswith(".py"):
        raise StudyError(
            f"no study {which!r}: shipped are {', '.join(SHIPPED)} (`hetcal studies` tells more); a study of your own "
            "is a file whose name ends in .py"
        )
    path = Path(which).resolve()
    module = _execute(path)
    study = getattr(module, "study", None)
    if study is None:
        raise StudyError(f"{path} defines no study: let it end with study = hetcal.Study(...)")
    if callable(study):
        study = _guarded(path, lambda: module.study(budget or "quick"))
    elif budget is not None:
        raise StudyError(
            f"{path} offers no choice of budgets: leave --budget out, or define a function study(budget) there"
        )
    if not isinstance(study, Study):
        raise StudyError(f"study in {path} is {study!r}: make it study = hetcal.Study(...)")
    return study


def _execute(path: Path) -> ModuleType:
    """Run a user's file as a module; modules beside it can be imported, as from a script."""
    try:
        source = path.read_bytes()
    except OSError as error:
        raise StudyError(
            f"the study file {path} cannot be read ({error.strerror}): give the path of a file that you may read"
        ) from None
    # A name and a last place in the path, so that a file called random.py does not pass for the library's.
    module = ModuleType(f"study_{path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    _guarded(path, lambda: exec(compile(source, str(path), "exec"), module.__dict__))
    return module


def _guarded(path: Path, call: Callable[[], Any]) -> Any:
    """Call into a user's file; what it raises becomes a sentence with the file's line."""
    try:
        return call()
    except SyntaxError as error:
        raise StudyError(f"{error.filename}, line {error.lineno}: {error.msg}: mend that line") from error
    except (Exception, SystemExit) as error:
        lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
        where = f"{path}, line {lines[-1]}" if lines else str(path)
        raise StudyError(f"{where}: {type(error).__name__}: {error}") from error
