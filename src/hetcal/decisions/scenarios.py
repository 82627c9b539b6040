"""Scenarios compared over a posterior: the same draws and the same seeds in every arm."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hetcal.decisions.arms import Arm, Outcome, outcome_values, pairs_asked, read_arms, read_outcome
from hetcal.decisions.effects import Effects, estimate_effects, share_best
from hetcal.decisions.value import emulator_value, what_would_change_it
from hetcal.ensemble import execute
from hetcal.simulators import fingerprint, split_outputs
from hetcal.streams import generator, simulator_seeds

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Scenarios:
    """Scenarios compared over a posterior.

    Attributes
    ----------
    table : pandas.DataFrame
        One row a scenario: mean outcome; low and high of a single outbreak; expected_low and expected_high, the
        interval of the expected outcome over the posterior of the parameters; effect against the first scenario (mean
        difference) with its simulation error effect_se; effect_low and effect_high, the interval of the expected effect
        over the posterior of the parameters; single_low and single_high, that of the difference in a single outbreak;
        best, the posterior probability that no scenario has a better expectation, with its simulation error best_se;
        best_single, the probability of the best outcome in a single outbreak. Ties share.
    what_would_change_it : pandas.DataFrame
        One row a thing that could be learned: what; kind (parameter, datum, runs); variance_removed, the share of the
        variance of the expected effect (of the best scenario against the first, or of the next best where the first
        is best) that goes on average; gain, what the outcome would be better by on average if one chose knowing it,
        with its simulation error gain_se; changes_choice, how often another scenario would be chosen;
        best_if_low and best_if_high, the probability that the best scenario is best in its lowest and highest third.
    best : str
        The scenario of best mean outcome.
    says : str
        The answer in plain sentences.
    effects : pandas.DataFrame
        For figures, one row a draw and scenario: draw, scenario, outcome (mean over the draw's seeds), effect (a draw
        of the expected effect given the parameters), effect_single (the difference in one outbreak).
    draws : pandas.DataFrame
        Parameters of the draws, by their number in `effects`.
    outcome, better : str
    least, level : float
    pairs, left_out : int
        Pairs of runs (draws times seeds) that count, and how many of them were left out since a run of some arm failed.
    runs : int
        Runs simulated by this call; 0 where all were in the ledger.

    Examples
    --------
    The school of 1978, at draws near its posterior: what isolation from the fourth day on would have done.

    >>> from types import SimpleNamespace
    >>> import numpy as np
    >>> import hetcal as hc
    >>> from hetcal.decisions import compare_scenarios
    >>> problem = hc.studies.flu1978.study().problem
    >>> draws = np.random.default_rng(1).normal([3.9, 2.1, 2.7], [0.3, 0.1, 0.5], (1000, 3))
    >>> posterior = SimpleNamespace(
    ...     problem=problem, samples=problem.space.frame(draws), ledger=hc.Ledger(), seed=1, study="flu1978"
    ... )
    >>> arms = {"as it was": {}, "isolate on day 4": {"isolation_day": 4}}
    >>> took_off = lambda outputs: outputs["total_infected"] > 60
    >>> found = compare_scenarios(posterior, arms, "total_infected", only=took_off, draws=100)
    >>> bool(-300 < found.table["effect"].iloc[1] < -100)
    True
    """

    table: pd.DataFrame
    what_would_change_it: pd.DataFrame
    best: str
    says: str
    effects: pd.DataFrame
    draws: pd.DataFrame
    outcome: str
    better: str
    least: float
    level: float
    pairs: int
    left_out: int
    runs: int

    def __repr__(self) -> str:
        def shown(frame: pd.DataFrame) -> str:
            return frame.to_string(index=False, float_format=lambda value: f"{value:.4g}")

        return f"{self.says}\n\n{shown(self.table)}\n\n{shown(self.what_would_change_it)}"


def compare_scenarios(
    posterior: Any,
    scenarios: Mapping[str, Any],
    outcome: Outcome,
    *,
    better: str = "lower",
    least: float = 0.0,
    level: float = 0.9,
    only: Callable[[dict[str, np.ndarray]], np.ndarray] | None = None,
    draws: int = 500,
    seeds: int = 4,
    seed: int | None = None,
    workers: int = 1,
    executor: Any = None,
    time_limit: float | None = None,
    progress: bool | None = None,
) -> Scenarios:
    """Compare scenarios over a posterior: effects with intervals, which is best and how sure that is.

    Every scenario is run at the same draws from the posterior and with the same seeds, all kept in the posterior's
    ledger, so that nothing is run twice. Several seeds a draw tell what the parameters make of the effect from chance:
    the mean difference of a draw is regressed on its parameters by splines, and what is left over is split by the
    variance between seeds into chance, which is taken out, and lack of fit, which is kept as uncertainty.

    Differences in a single outbreak are those of runs with the same seed. They are those of one outbreak with and
    without the measure as far as the simulator keeps its random numbers in step; expectations do not depend on that.

    Parameters
    ----------
    posterior : PosteriorResult
        Its problem, samples, ledger, seed and study are used; its likelihood, where it is emulated, for what further
        runs to train it would change.
    scenarios : dict
        At least two, by name; effects are against the first. Each is a dict: a parameter's name with a number, or with
        a function of its draws (n,), replaces the posterior's draws; a setting's name changes the simulator
        (`dataclasses.replace`); {} changes nothing. Or it is another simulator with the same parameters.
    outcome : str or callable
        A scalar output, or a function of the outputs by name, (n, *shape) each, to (n,).
    better : {"lower", "higher"}
    least : float
        Differences of at most this much count as ties.
    level : float
        Probability inside of the intervals.
    only : callable, optional
        Takes the first scenario's outputs, as `outcome` does, to a bool array (n,): which outbreaks count, such as
        those that took off. Left out, all do. With a rule that a run went like the data until the measure, the answer
        is for the observed outbreak and not for another, where runs of a seed share their past in all scenarios.
    draws, seeds : int
        Draws from the posterior, and seeds for each; more of them reuse the runs that are there.
    seed : int, optional
        The posterior's where left out.
    workers, executor, time_limit, progress
        As in `hetcal.run_ensemble`.

    Returns
    -------
    Scenarios

    Raises
    ------
    TypeError, ValueError
        For fewer than two scenarios, names that neither parameters nor settings have, an outcome that is not one
        number, arguments out of range, or when too few pairs of runs are complete.

    References
    ----------
    Strong, Oakley and Brennan (2014), Estimating multiparameter partial expected value of perfect information from a
    probabilistic sensitivity analysis sample, Medical Decision Making 34, 311.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> import numpy as np
    >>> import hetcal as hc
    >>> from hetcal.decisions import compare_scenarios
    >>> space = hc.Space([hc.Parameter("rate", hc.uniform(1, 5))])
    >>> @hc.simulator(parameters=["rate"], outputs={"cases": ()}, version="1")
    ... def model(theta, seed):
    ...     return {"cases": np.random.default_rng(seed).poisson(100 * theta["rate"])}
    ...
    >>> problem = hc.Problem(space, model, [hc.Target("cases", observed=[310.0])])
    >>> samples = space.frame(np.random.default_rng(1).gamma(310, 0.01, (4000, 1)))
    >>> posterior = SimpleNamespace(problem=problem, samples=samples, ledger=hc.Ledger(), seed=1, study="example")
    >>> masks = {"as it was": {}, "masks": {"rate": lambda rate: 0.7 * rate}}
    >>> compare_scenarios(posterior, masks, outcome="cases", draws=100).best
    'masks'
    """
    _check(better, least, level, draws, seeds)
    arms = read_arms(posterior.problem, scenarios)
    name = read_outcome(arms, outcome)
    seed = posterior.seed if seed is None else seed
    frame = posterior.samples[list(posterior.problem.space.names)]
    order = generator(seed, "scenarios").permutation(len(frame))[:draws]
    frame = frame.iloc[order].reset_index(drop=True)
    numbers = np.stack([simulator_seeds(seed, "scenarios", 0, i, seeds) for i in range(len(frame))])
    thetas = [arm.theta(frame) for arm in arms]
    study = _study_name(posterior.study, arms, thetas, numbers)
    made, outputs = 0, []
    for k, (arm, theta) in enumerate(zip(arms, thetas, strict=True)):
        # Runs that a study asked for as scenarios are not taken for a later posterior's training runs.
        posterior.ledger.ask(study, k, "scenarios", arm.simulator, theta, list(numbers))
        rows, row_seeds = np.repeat(theta, seeds, axis=0), numbers.ravel()
        made += execute(
            arm.simulator,
            rows,
            row_seeds,
            posterior.ledger,
            workers=workers,
            executor=executor,
            time_limit=time_limit,
            progress=progress,
        )
        status, flat, _ = posterior.ledger.lookup(arm.simulator, rows, row_seeds)
        outputs.append((split_outputs(arm.simulator.outputs, flat), status == "ok"))
    values = np.stack([outcome_values(outcome, found, ok) for found, ok in outputs], axis=1)
    values = values.reshape(len(frame), seeds, len(arms))
    asked = pairs_asked(only, *outputs[0]).reshape(len(frame), seeds)
    sign = 1 if better == "lower" else -1
    effects = estimate_effects(frame.to_numpy(), values, asked, sign, least, seed)
    data = {
        output: outputs[0][0][output].reshape(len(frame), seeds, -1)
        for output in arms[0].simulator.outputs
        if output not in _fitted(posterior.problem)
    }
    changes = what_would_change_it(effects, posterior.problem.space.names, data, arms[0].name, seed)
    changes += emulator_value(effects, posterior, frame, seed)
    return _result(effects, arms, frame, changes, name, better, level, made)


def _check(better: str, least: float, level: float, draws: int, seeds: int) -> None:
    if better not in ("lower", "higher"):
        raise ValueError(f'better is "lower" or "higher", not {better!r}')
    if not (np.isfinite(least) and least >= 0):
        raise ValueError(
            f"least is {least!r}: give the difference that does not matter, a number of at least 0"
        )
    if not 0 < level < 1:
        raise ValueError(f"level is {level!r}: give a probability between 0 and 1")
    for what, value, lowest in (("draws", draws, 50), ("seeds", seeds, 2)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < lowest:
            raise ValueError(f"{what} is {value!r}: give a whole number of at least {lowest}")


def _study_name(study: str, arms: list[Arm], thetas: list[np.ndarray], numbers: np.ndarray) -> str:
    """A name of its own for each set of runs, the same for the same set."""
    digest = hashlib.sha256(numbers.tobytes())
    for arm, theta in zip(arms, thetas, strict=True):
        digest.update(fingerprint(arm.simulator).encode() + theta.tobytes())
    return f"{study}/scenarios/{digest.hexdigest()[:16]}"


def _fitted(problem: Any) -> set[str]:
    return {target.output for target in problem.targets if target.weight > 0}


def _result(
    effects: Effects,
    arms: list[Arm],
    frame: pd.DataFrame,
    changes: list[dict[str, Any]],
    outcome: str,
    better: str,
    level: float,
    made: int,
) -> Scenarios:
    import pandas as pd

    names = [arm.name for arm in arms]
    ends = [(1 - level) / 2, (1 + level) / 2]
    complete = effects.values[np.isfinite(effects.values).all(axis=2)]
    single = complete - complete[:, :1]
    expected = effects.means.reshape(-1, len(names))
    low, high = np.quantile(complete, ends, axis=0)
    levels = effects.levels.reshape(-1, len(names)).clip(complete.min(), complete.max())
    expected_low, expected_high = np.quantile(levels, ends, axis=0)
    effect_low, effect_high = np.quantile(expected, ends, axis=0)
    single_low, single_high = np.quantile(single, ends, axis=0)
    table = pd.DataFrame(
        {
            "scenario": names,
            "mean": complete.mean(axis=0),
            "low": low,
            "high": high,
            "expected_low": expected_low,
            "expected_high": expected_high,
            "effect": effects.mean,
            "effect_se": effects.standard_error,
            "effect_low": effect_low,
            "effect_high": effect_high,
            "single_low": single_low,
            "single_high": single_high,
            "best": effects.best.mean(axis=(0, 1)),
            "best_se": effects.best_error,
            "best_single": share_best(effects.sign * single, effects.least).mean(axis=0),
        }
    )
    first = np.isfinite(effects.values).all(axis=2).argmax(axis=1)
    one = effects.values[np.arange(len(first)), first]
    long = pd.DataFrame(
        {
            "draw": np.repeat(effects.rows, len(names)),
            "scenario": np.tile(names, len(effects.rows)),
            "outcome": np.nanmean(effects.values, axis=1).ravel(),
            "effect": effects.means[0].ravel(),
            "effect_single": (one - one[:, :1]).ravel(),
        }
    )
    what = pd.DataFrame(changes)
    says = _says(table, what, effects, names, outcome, level)
    return Scenarios(
        table,
        what,
        names[effects.chosen],
        says,
        long,
        frame,
        outcome,
        better,
        effects.least,
        level,
        effects.pairs,
        effects.left_out,
        made,
    )


def _says(
    table: pd.DataFrame, what: pd.DataFrame, effects: Effects, names: list[str], outcome: str, level: float
) -> str:
    row = table.iloc[effects.other]
    if not np.any(effects.spread > 0) and not np.any(np.abs(effects.mean) > effects.least):
        text = f"The scenarios make no difference to {outcome}" + (
            f" beyond {_figure(effects.least)}." if effects.least else ": every pair of runs ended alike."
        )
    else:
        best = table.iloc[effects.chosen]
        it = "it" if effects.other == effects.chosen else repr(row.scenario)
        text = (
            f"{best.scenario!r} is best in expectation with probability {_probability(best.best)} and in a single "
            f"outbreak with probability {_probability(best.best_single)}; in expectation {it} changes {outcome} by "
            f"{_figure(row.effect)} ({100 * level:g} % interval {_figure(row.effect_low)} to "
            f"{_figure(row.effect_high)}) against {names[0]!r}."
        )
        known = what[what["kind"] == "parameter"].iloc[:-1].sort_values("changes_choice", ascending=False)
        top = known.iloc[0]
        if top.changes_choice >= 0.005:
            text += (
                f" Knowing {top.what} would change the choice in {100 * top.changes_choice:.0f} % of cases."
            )
        else:
            text += " Knowing any one parameter would not change the choice."
        runs = what.set_index("what").loc["more draws and seeds"]
        if runs.changes_choice >= 0.05:
            text += (
                f" Too few draws and seeds to tell the best two apart: more would change the choice with probability "
                f"{_probability(runs.changes_choice)}."
            )
    if effects.left_out:
        text += f" {effects.left_out} of {effects.pairs} pairs are left out since a run failed."
    return text


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _probability(value: float) -> str:
    return "below 0.01" if value < 0.005 else "above 0.99" if value > 0.995 else f"{value:.2f}"
