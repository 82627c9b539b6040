"""Level 0 of a stack: regression learners of R's mlr, by name, fitted and asked through the bridge."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from hetcal import rbridge


# What mlr has confirmed in this process: asking it takes as long as fitting a quick learner ten times.
_KNOWN: set[str] = set()


def named_learners(learners: Any) -> dict[str, dict[str, Any]]:
    """Hyperparameters by learner, from how a user writes them; what cannot be a regression learner raises.

    Parameters
    ----------
    learners : mapping, or sequence of names and of (name, hyperparameters)

    Returns
    -------
    dict

    Examples
    --------
    >>> from hetcal.emulators.stacked_learners import named_learners
    >>> named_learners(("regr.mars", ("regr.brnn", {"neurons": 3})))
    {'regr.mars': {}, 'regr.brnn': {'neurons': 3}}
    """
    if isinstance(learners, str) or not hasattr(learners, "__iter__"):
        raise TypeError(f'learners is {learners!r}: give names, such as ("regr.mars", "regr.randomForest")')
    pairs = learners.items() if isinstance(learners, Mapping) else [_pair(item) for item in learners]
    named: dict[str, dict[str, Any]] = {}
    for name, hyperparameters in pairs:
        if not isinstance(name, str) or not isinstance(hyperparameters, Mapping):
            raise TypeError(
                f'{(name, hyperparameters)!r} is no learner: give a name, or ("regr.brnn", {{"neurons": 2}})'
            )
        if not name.startswith("regr."):
            raise ValueError(
                f'{name!r} is no regression learner of mlr: their names begin with "regr.", such as "regr.mars"'
            )
        if name in named:
            raise ValueError(f"learner {name!r} is given twice: a stack has each once")
        # Numbers of numpy's would not be written to a file.
        named[name] = {
            key: v.tolist() if isinstance(v, (np.generic, np.ndarray)) else v
            for key, v in hyperparameters.items()
        }
    if not named:
        raise ValueError('a stack needs at least one learner, such as "regr.mars"')
    return named


def _pair(item: Any) -> tuple[Any, Any]:
    if isinstance(item, (tuple, list)) and len(item) == 2:
        return item[0], item[1]
    return item, {}


def check_learners(learners: dict[str, dict[str, Any]]) -> None:
    """Ask mlr whether it knows the learners and their hyperparameters, and R whether their packages are there.

    Raises
    ------
    ValueError
        A learner, a hyperparameter or a value of one that mlr does not know.
    hetcal.rbridge.RMissing
        A package that is not installed, with the command that installs it.
    """
    asked = repr(learners)
    if asked in _KNOWN:
        return
    wrong = rbridge.call("check_learners", learners=learners)
    if wrong is None:
        _KNOWN.add(asked)
        return
    name = wrong["learner"]
    if wrong["problem"] == "value":
        raise ValueError(f"mlr refuses a hyperparameter of learner {name!r}: {wrong['message'].rstrip('!.')}")
    known, given = list(wrong["known"]), wrong["given"]
    near = difflib.get_close_matches(given.lower(), [k.lower() for k in known], 1, 0.0)
    nearest = next(k for k in known if k.lower() == near[0]) if near else "none"
    if wrong["problem"] == "unknown":
        raise ValueError(f"mlr does not know the learner {name!r}: the nearest of its names is {nearest!r}")
    raise ValueError(
        f"learner {name!r} has no hyperparameter {given!r}: the nearest of its own is {nearest!r}"
    )


@dataclass(frozen=True, eq=False)
class FittedLearners:
    """Learners fitted to all training rows, as R serialised them; they pickle and copy as bytes.

    Attributes
    ----------
    names : tuple of str
    models : bytes
        R's serialised models.
    """

    names: tuple[str, ...]
    models: bytes

    @cached_property
    def key(self) -> str:
        """By what R knows them."""
        return hashlib.sha256(self.models).hexdigest()

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Predictions at points (m, d) of the unit cube; (m, learners)."""
        answer = rbridge.call("predict_learners", key=self.key, X=X)
        if answer is None:
            answer = rbridge.call("predict_learners", key=self.key, X=X, models=self.models)
        return answer


def fit_learners(
    X: np.ndarray, y: np.ndarray, fold: np.ndarray, learners: dict[str, dict[str, Any]], seeds: np.ndarray
) -> tuple[np.ndarray, FittedLearners, dict[str, str]]:
    """Fit level 0.

    Parameters
    ----------
    X : numpy.ndarray
        Points of the unit cube, (n, d).
    y : numpy.ndarray
        (n,).
    fold : numpy.ndarray
        Fold of each row, (n,).
    learners : dict
        Hyperparameters by name.
    seeds : numpy.ndarray
        One a learner.

    Returns
    -------
    numpy.ndarray, FittedLearners, dict
        Out-of-fold predictions (n, learners that did not fail), those learners, and why the others failed.
    """
    answer = rbridge.call(
        "fit_learners", X=X, y=y, fold=fold.astype(float), learners=learners, seeds=seeds.astype(float)
    )
    failed = {name: " ".join(why.split()) for name, why in dict(answer["failed"] or {}).items()}
    kept = [k for k, name in enumerate(learners) if name not in failed]
    names = tuple(name for name in learners if name not in failed)
    return answer["out_of_fold"][:, kept], FittedLearners(names, answer["models"]), failed
