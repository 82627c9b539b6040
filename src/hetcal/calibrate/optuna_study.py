"""Optuna studies in memory, made of trials that are known; Optuna itself keeps nothing and says nothing."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True)
class Told:
    """A trial as Optuna shall know it.

    Attributes
    ----------
    params : dict of float
        By Optuna's names.
    value : float
        What is minimised; NaN for a failed trial.
    notes : dict
        Kept as the trial's user attributes.
    memory : dict
        What the sampler itself had kept in the trial.
    """

    params: dict[str, float]
    value: float
    notes: dict[str, Any] = field(default_factory=dict)
    memory: dict[str, Any] = field(default_factory=dict)


@contextmanager
def _quiet() -> Iterator[None]:
    """Optuna without its log lines and without warnings of what is experimental; its log level stands afterwards."""
    import optuna

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(level)


def make_study(name: str, told: Sequence[Told], distributions: dict[str, Any]) -> optuna.Study:
    """An Optuna study in memory that minimises and holds these trials.

    Examples
    --------
    >>> from optuna.distributions import FloatDistribution
    >>> from hetcal.calibrate.optuna_study import Told, make_study
    >>> told = [Told({"a": 0.2}, 3.0), Told({"a": 0.4}, 1.0), Told({"a": 0.9}, float("nan"))]
    >>> study = make_study("line", told, {"a": FloatDistribution(0, 1)})
    >>> study.best_params, [trial.state.name for trial in study.trials]
    ({'a': 0.4}, ['COMPLETE', 'COMPLETE', 'FAIL'])
    """
    import optuna

    states = optuna.trial.TrialState
    with _quiet():
        study = optuna.create_study(study_name=name)
        for trial in told:
            valid = bool(np.isfinite(trial.value))
            study.add_trial(
                optuna.trial.create_trial(
                    state=states.COMPLETE if valid else states.FAIL,
                    value=float(trial.value) if valid else None,
                    params=trial.params,
                    distributions=distributions,
                    user_attrs=trial.notes,
                    system_attrs=trial.memory,
                )
            )
    return study


def propose(
    study: optuna.Study,
    make_sampler: Callable[..., Any],
    seed: int,
    distributions: dict[str, Any],
    n: int,
) -> list[tuple[dict[str, float], dict[str, Any]]]:
    """What a sampler proposes next in a study, which is used up by that.

    Parameters
    ----------
    study : optuna.Study
    make_sampler : callable
        Takes ``seed=``.
    seed : int
        Of the sampler.
    distributions : dict
        By Optuna's names.
    n : int
        How many trials.

    Returns
    -------
    list of tuple
        Parameters and the sampler's own notes, of each trial.
    """
    chosen = []
    with _quiet():
        study.sampler = make_sampler(seed=seed)
        for _ in range(n):
            study.ask(distributions)
            trial = study.get_trials(deepcopy=False)[-1]
            chosen.append((dict(trial.params), dict(trial.system_attrs)))
    return chosen
