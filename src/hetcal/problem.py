"""Problem: a space, a simulator and its targets; what every method takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hetcal.parameters import Space
from hetcal.simulators import check_simulator, fingerprint
from hetcal.targets import EnsembleTarget, Target

if TYPE_CHECKING:
    import pandas as pd

    from hetcal.ledger import Ledger


@dataclass(frozen=True, eq=False)
class Problem:
    """What is to be calibrated.

    Parameters
    ----------
    space : Space
        The unknown parameters; exactly those that the simulator takes.
    simulator : Simulator
        A pure function of (parameters, seed).
    targets : sequence of Target or EnsembleTarget
        Names must differ; at least one weight above 0.

    Raises
    ------
    TypeError
        If an argument is of another type, or the simulator has no fixed content to tell its runs from others'.
    ValueError
        If names do not match between space, simulator and targets, shapes differ, or a loss cannot be emulated
        on the scale that its target asks for.

    Examples
    --------
    >>> import numpy as np
    >>> import hetcal as hc
    >>> space = hc.Space([hc.Parameter("x", hc.uniform(0, 1))])
    >>> @hc.simulator(parameters=["x"], outputs={"y": (2,)}, version="1")
    ... def line(theta, seed):
    ...     return {"y": np.array([theta["x"], 2 * theta["x"]])}
    ...
    >>> hc.Problem(space, line, [hc.Target("y", observed=[1.0, 2.0], loss="rss")])
    Problem(line: x -> y)
    """

    space: Space
    simulator: Any
    targets: tuple[Target | EnsembleTarget, ...]

    def __init__(self, space: Space, simulator: Any, targets: Sequence[Target | EnsembleTarget]) -> None:
        if not isinstance(space, Space):
            raise TypeError(f"space is {space!r}: give a hetcal.Space")
        if isinstance(targets, (Target, EnsembleTarget)):
            raise TypeError(f"targets is {targets!r}: give a list, [{targets!r}]")
        check_simulator(simulator)
        fingerprint(simulator)
        object.__setattr__(self, "space", space)
        object.__setattr__(self, "simulator", simulator)
        object.__setattr__(self, "targets", tuple(targets))
        self._check_parameters()
        self._check_targets()

    def _check_parameters(self) -> None:
        expected, given = set(self.simulator.parameters), set(self.space.names)
        if expected != given:
            raise ValueError(
                f"simulator {self.simulator.name!r} takes {', '.join(self.simulator.parameters)}; the space has "
                f"{', '.join(self.space.names)}"
                + (
                    f"; unknown to the simulator: {', '.join(sorted(given - expected))}"
                    if given - expected
                    else ""
                )
                + (f"; without a prior: {', '.join(sorted(expected - given))}" if expected - given else "")
            )

    def _check_targets(self) -> None:
        if not self.targets:
            raise ValueError("a Problem needs at least one Target")
        for target in self.targets:
            if not isinstance(target, (Target, EnsembleTarget)):
                raise TypeError(f"targets are hetcal.Target or hetcal.EnsembleTarget, not {target!r}")
            if target.output not in self.simulator.outputs:
                raise ValueError(
                    f"target {target.name!r} wants output {target.output!r}; simulator {self.simulator.name!r} has "
                    f"{', '.join(self.simulator.outputs)}"
                )
            shape = tuple(self.simulator.outputs[target.output]) or (1,)
            kept = getattr(target, "kept", None)
            if kept is not None and max(kept) >= np.prod(shape):
                raise ValueError(
                    f"target {target.name!r}: kept names element {max(kept)} but output {target.output!r} has shape "
                    f"{shape}, elements 0 to {np.prod(shape) - 1}"
                )
            if target.statistic is None and shape != target.observed.shape:
                raise ValueError(
                    f"target {target.name!r}: {target.observed.shape} data observed but output {target.output!r} "
                    f"has shape {shape}: give data of that shape, or a statistic"
                )
            if isinstance(target, Target):
                _ = target.emulated_scale
        names = [t.name for t in self.targets]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise ValueError(f"target names must differ: {', '.join(twice)}; give name=")
        taken = {"total", "seed", "replicates", *self.space.names}.intersection(names)
        if taken:
            raise ValueError(
                f"a target cannot be called {sorted(taken)[0]!r}: tables of losses have that column; give name="
            )
        if not any(t.weight > 0 for t in self.targets):
            raise ValueError("every target has weight 0: at least one must count")

    @property
    def run_targets(self) -> tuple[Target, ...]:
        """Targets that a single run has a loss for."""
        return tuple(t for t in self.targets if isinstance(t, Target))

    @property
    def ensemble_targets(self) -> tuple[EnsembleTarget, ...]:
        """Targets on statistics of a location's replicates."""
        return tuple(t for t in self.targets if isinstance(t, EnsembleTarget))

    def weighted(self, weights: Sequence[float] | Mapping[str, float]) -> Problem:
        """The same problem with other weights of its targets; runs that are there serve both.

        Parameters
        ----------
        weights : sequence of float, or mapping of str to float
            One a target in their order, or by target name.

        Returns
        -------
        Problem

        Raises
        ------
        ValueError
            If there are not as many weights as targets, names do not match, or a weight is negative or not finite.

        Examples
        --------
        >>> import hetcal as hc
        >>> problem = hc.studies.flu1978.study().problem
        >>> problem.weighted([0.01] * len(problem.targets)).targets[0].weight
        0.01
        """
        names = [t.name for t in self.targets]
        if isinstance(weights, Mapping):
            if set(weights) != set(names):
                raise ValueError(
                    f"weights are for {', '.join(map(str, weights))}; targets are {', '.join(names)}"
                )
            weights = [weights[name] for name in names]
        if isinstance(weights, str) or not isinstance(weights, (Sequence, np.ndarray)):
            raise ValueError(
                f"weights is {weights!r}: give a list of one for each of {', '.join(names)}, or a dict by name"
            )
        if len(weights) != len(names):
            raise ValueError(
                f"{len(weights)} weights for {len(names)} targets: give one for each of {', '.join(names)}"
            )
        targets = [replace(t, weight=w) for t, w in zip(self.targets, weights, strict=True)]
        return Problem(self.space, self.simulator, targets)

    def theta(self, frame: Any) -> np.ndarray:
        """Columns of a frame in the simulator's order of parameters, (n, d)."""
        return frame[list(self.simulator.parameters)].to_numpy(dtype=float)

    def evaluate(self, outputs: dict[str, np.ndarray]) -> pd.DataFrame:
        """Losses of runs from their outputs.

        Parameters
        ----------
        outputs : dict of numpy.ndarray
            By output name, shape (n, *shape); NaN where a run has no such output.

        Returns
        -------
        pandas.DataFrame
            One column a per-run target, unweighted, and ``total``, their weighted sum; NaN where one is missing.
        """
        import pandas as pd

        losses = pd.DataFrame({t.name: t.losses(outputs[t.output]) for t in self.run_targets})
        total = np.zeros(len(losses))
        for target in self.run_targets:
            if target.weight > 0:
                total = total + target.weight * losses[target.name].to_numpy()
        losses["total"] = total
        return losses

    def contributions(self, outputs: dict[str, np.ndarray], debias: bool = False) -> pd.DataFrame:
        """What each run of one location adds to the losses there, those of ensembles included.

        Parameters
        ----------
        outputs : dict of numpy.ndarray
            By output name, shape (n, *shape); NaN where a run has no such output.
        debias : bool
            Subtract from the losses of ensembles their expected noise: see `EnsembleTarget.contributions`.

        Returns
        -------
        pandas.DataFrame
            A column a target, whose mean over the runs that have its output is its loss, and ``total``, whose mean
            is the weighted sum of those means and whose spread over the root of n is its standard error. NaN where
            a run adds nothing, and throughout the total where a target has no run.
        """
        import pandas as pd

        each = np.full((len(next(iter(outputs.values()))), len(self.targets)), np.nan)
        for column, target in enumerate(self.targets):
            simulated = np.asarray(outputs[target.output], dtype=float)
            if isinstance(target, Target):
                each[:, column] = target.losses(simulated)
            else:
                has = _complete(simulated)
                each[has, column] = target.contributions(simulated[has], debias)
        table = pd.DataFrame(each, columns=[t.name for t in self.targets])
        weights = np.array([t.weight for t in self.targets], dtype=float)
        each, weights = each[:, weights > 0], weights[weights > 0]
        there = np.isfinite(each)
        some = there.any(axis=1)
        table["total"] = np.nan
        if there.any(axis=0).all():
            means = np.nanmean(each, axis=0)
            # A run without one of the outputs moves the means of the others only.
            moves = np.where(there, each - means, 0.0) @ (weights / there.sum(axis=0))
            table.loc[some, "total"] = means @ weights + some.sum() * moves[some]
        return table

    def losses(self, ledger: Ledger) -> pd.DataFrame:
        """Losses of all runs of this simulator in a ledger; nothing is simulated.

        Parameters
        ----------
        ledger : Ledger

        Returns
        -------
        pandas.DataFrame
            Columns: the parameters, seed, one column a per-run target, total. One row a run; NaN where it failed.
        """
        runs = ledger.runs(self.simulator)
        outputs = {t.output: ledger.outputs(self.simulator, t.output) for t in self.run_targets}
        return runs[[*self.space.names, "seed"]].join(self.evaluate(outputs))

    def ensemble_losses(self, ledger: Ledger) -> pd.DataFrame:
        """Losses of ensemble statistics, by location; nothing is simulated.

        Parameters
        ----------
        ledger : Ledger

        Returns
        -------
        pandas.DataFrame
            Columns: the parameters, replicates, and for each ensemble target its loss and ``<name>_se``. One row a
            location; replicates without the output are left out of its statistic.
        """
        import pandas as pd

        runs = ledger.runs(self.simulator)
        outputs = {t.output: ledger.outputs(self.simulator, t.output) for t in self.ensemble_targets}
        rows = []
        for theta, index in runs.groupby(list(self.space.names), sort=False).indices.items():
            row = dict(zip(self.space.names, np.atleast_1d(theta), strict=True)) | {"replicates": len(index)}
            for target in self.ensemble_targets:
                simulated = outputs[target.output][index]
                row[target.name], row[f"{target.name}_se"] = target.loss_and_error(
                    simulated[_complete(simulated)]
                )
            rows.append(row)
        errors = [column for t in self.ensemble_targets for column in (t.name, f"{t.name}_se")]
        return pd.DataFrame(rows, columns=[*self.space.names, "replicates", *errors])

    def describe(self) -> dict[str, Any]:
        """Plain description of space, simulator and targets: what a study's settings must keep to."""
        return {
            "simulator": self.simulator.name,
            "version": self.simulator.version,
            "parameters": self.space.describe(),
            "targets": [t.describe() for t in self.targets],
        }

    def __repr__(self) -> str:
        names = ", ".join(t.name for t in self.targets)
        return f"Problem({self.simulator.name}: {', '.join(self.space.names)} -> {names})"


def _complete(simulated: np.ndarray) -> np.ndarray:
    """Which of n runs (n, *shape) have the whole output, (n,)."""
    return np.isfinite(simulated.reshape(len(simulated), -1)).all(axis=1)
