"""What is compared: scenarios as they are written down, and the outcome that they are judged by."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from hetcal.simulators import check_simulator, settings

if TYPE_CHECKING:
    import pandas as pd

    from hetcal.problem import Problem

Outcome = str | Callable[[dict[str, np.ndarray]], Any]


@dataclass(frozen=True)
class Arm:
    """One scenario: a simulator, and what replaces the posterior's draws of some parameters."""

    name: str
    simulator: Any
    overrides: dict[str, Any] = field(default_factory=dict)

    def theta(self, draws: pd.DataFrame) -> np.ndarray:
        """Parameters of this arm at the posterior's draws, in its simulator's order, (n, d)."""
        frame = draws.copy()
        for parameter, value in self.overrides.items():
            frame[parameter] = self._replaced(parameter, value, draws)
        return frame[list(self.simulator.parameters)].to_numpy(dtype=float)

    def _replaced(self, parameter: str, value: Any, draws: pd.DataFrame) -> np.ndarray:
        what = f"{parameter} of scenario {self.name!r}"
        try:
            given = np.asarray(value(draws[parameter].to_numpy()) if callable(value) else value, dtype=float)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{what} is {value!r} ({error}): give a number, or a function of its draws"
            ) from error
        if given.shape not in ((), (len(draws),)) or not np.all(np.isfinite(given)):
            raise ValueError(
                f"{what} is {value!r}: give a finite number, or a function that takes the draws to such"
            )
        return np.broadcast_to(given, (len(draws),))


def read_arms(problem: Problem, scenarios: Mapping[str, Any]) -> list[Arm]:
    """The arms of a comparison from a dict of scenarios, checked.

    Raises
    ------
    TypeError
        If scenarios are no dict, or one of them is neither a dict nor a simulator.
    ValueError
        If there are fewer than two, or one has an unknown name, an unusable setting, or other parameters.
    """
    if not isinstance(scenarios, Mapping):
        raise TypeError(
            f"scenarios is {scenarios!r}: give a dict of name to what is changed, {{}} for nothing"
        )
    if len(scenarios) < 2:
        raise ValueError(
            f"{len(scenarios)} scenario(s): a decision needs at least two, such as "
            '{"as it was": {}, "isolate on day 4": {"isolation_day": 4}}'
        )
    return [_read_arm(problem, str(name), changes) for name, changes in scenarios.items()]


def _read_arm(problem: Problem, name: str, changes: Any) -> Arm:
    if not isinstance(changes, Mapping):
        check_simulator(changes)
        if set(changes.parameters) != set(problem.space.names):
            raise ValueError(
                f"the simulator of scenario {name!r} takes {', '.join(changes.parameters)}; the posterior is of "
                f"{', '.join(problem.space.names)}: both need the same parameters"
            )
        return Arm(name, changes)
    simulator = problem.simulator
    known = settings(simulator) if _has_settings(simulator) else {}
    unknown = [key for key in changes if key not in problem.space.names and key not in known]
    if unknown:
        raise ValueError(
            f"scenario {name!r} changes {', '.join(map(repr, unknown))}, which {simulator.name} does not have: its "
            f"parameters are {', '.join(problem.space.names)}; "
            + (
                f"its settings {', '.join(known)}"
                if known
                else "it has no settings; give another simulator instead"
            )
        )
    changed = {key: value for key, value in changes.items() if key in known}
    if changed:
        try:
            simulator = dataclasses.replace(simulator, **changed)
        except (TypeError, ValueError) as error:
            raise ValueError(f"scenario {name!r}: {error}") from error
    return Arm(name, simulator, {key: value for key, value in changes.items() if key not in known})


def _has_settings(simulator: Any) -> bool:
    return dataclasses.is_dataclass(simulator) and not isinstance(simulator, type)


def read_outcome(arms: list[Arm], outcome: Outcome) -> str:
    """The outcome's name, after a check that every arm has it and that it is one number.

    Raises
    ------
    TypeError, ValueError
        If it is no name of a scalar output, nor a function.
    """
    if callable(outcome):
        return str(getattr(outcome, "__name__", "outcome")).replace("<lambda>", "outcome")
    if not isinstance(outcome, str):
        raise TypeError(f"outcome is {outcome!r}: give the name of an output, or a function of the outputs")
    for arm in arms:
        outputs = arm.simulator.outputs
        if outcome not in outputs:
            raise ValueError(
                f"outcome {outcome!r} is no output of the simulator of scenario {arm.name!r}: there are "
                f"{', '.join(outputs)}"
            )
        if outputs[outcome] != ():
            raise ValueError(
                f"outcome {outcome!r} has shape {outputs[outcome]}, and a decision needs one number a run: give a "
                f"function such as lambda outputs: outputs[{outcome!r}].sum(axis=1)"
            )
    return outcome


def outcome_values(outcome: Outcome, outputs: dict[str, np.ndarray], ok: np.ndarray) -> np.ndarray:
    """The outcome of n runs, NaN where there is none; a function sees complete runs only."""
    if isinstance(outcome, str):
        return outputs[outcome]
    values = np.full(len(ok), np.nan)
    if ok.any():
        found = np.asarray(outcome({name: value[ok] for name, value in outputs.items()}), dtype=float)
        if found.shape != (ok.sum(),):
            raise ValueError(
                f"the outcome's function gives shape {found.shape} for {ok.sum()} runs: a decision needs one number a "
                f"run, shape ({ok.sum()},)"
            )
        values[ok] = found
    return values


def pairs_asked(only: Any, outputs: dict[str, np.ndarray], ok: np.ndarray) -> np.ndarray:
    """Which of n pairs count by a rule of the first arm's outputs; those whose run failed do, since nobody can say."""
    asked = np.ones(len(ok), dtype=bool)
    if only is not None and ok.any():
        found = np.asarray(only({name: value[ok] for name, value in outputs.items()}))
        if found.shape != (ok.sum(),) or found.dtype != bool:
            raise ValueError(
                f"only gives {found.dtype} of shape {found.shape} for {ok.sum()} runs: give a function of the outputs "
                "that says True or False for each run"
            )
        asked[ok] = found
    return asked
