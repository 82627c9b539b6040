"""Stage: one search of a cascade: what is simulated, how often, and what the stages before it decide."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hetcal.problem import Problem

SAMPLERS = ("tpe", "cmaes", "random")
GIVEN = "given"


@dataclass(frozen=True, eq=False)
class Stage:
    """One Optuna study of a `Cascade`.

    Parameters
    ----------
    problem : Problem
        With targets of single runs, of ensembles, or both. A trial's value is the weighted sum of the mean losses of
        its runs and of the losses of its ensembles.
    trials : int
        Parameter sets that this stage simulates, failed ones included.
    replicates : int
        Seeds a trial, M.
    sampler : {"tpe", "cmaes", "random"} or callable
        Who proposes trials. A callable takes ``seed=`` and returns an Optuna sampler, such as the class
        ``optuna.samplers.QMCSampler``; a new one is made for each batch and knows what stands in the trials.
    hold : dict, optional
        Parameters that are not searched: name to a number in natural units, or to "best", their value in the best
        trial of the stage before.
    narrow : dict, float or "good", optional
        Parameters that are searched in part of their prior: name to a share of the prior, between 0 and 1, around
        the best trial of the stage before, or to "good", the range of the best quarter of its trials and half as
        much again. One value that is no dict is for all that are searched.
    carry : bool or sequence of str
        Which trials of earlier stages this study inherits, where they lie in its box and have its simulator; their
        values are this stage's, computed from their runs. True: those of all such stages, and runs that were brought
        into the ledger before. Names choose stages, "given" such runs.
    after : str, optional
        The stage that `hold` and `narrow` mean; by default the one before in the cascade.
    batch : int
        Trials that are proposed together. One by one, each knows all before it; workers then share a trial's seeds.
    debias : bool
        Subtract from the losses of ensembles the noise that M replicates have on average. Without it, trials of more
        replicates look better than they are beside others.
    common_seeds : bool
        All trials share the same seeds. Otherwise each has its own.
    targets : sequence of str, optional
        Names of the problem's targets that this stage looks at; all where none are given.
    name : str, optional
        "stage 1", "stage 2", ... by default. Random numbers follow from it, so a stage of the same name and settings
        in another cascade finds its runs in the ledger.

    Raises
    ------
    TypeError, ValueError
        For a setting that is out of range or names something that is not there.

    Examples
    --------
    >>> import numpy as np
    >>> import hetcal as hc
    >>> @hc.simulator(parameters=["a"], outputs={"y": ()}, version="1")
    ... def model(theta, seed):
    ...     return {"y": theta["a"] + np.random.default_rng(seed).normal()}
    ...
    >>> space = hc.Space([hc.Parameter("a", hc.uniform(-5, 5))])
    >>> target = hc.EnsembleTarget("y", observed=[1.0], loss="rss", statistic="mean")
    >>> hc.Stage(hc.Problem(space, model, [target]), trials=20, replicates=10, name="first")
    Stage('first': model, 20 trials x 10 seeds, tpe)
    """

    problem: Problem
    trials: int = 100
    replicates: int = 20
    sampler: Any = "tpe"
    hold: Mapping[str, Any] = field(default_factory=dict)
    narrow: Any = field(default_factory=dict)
    carry: bool | Sequence[str] = True
    after: str | None = None
    batch: int = 4
    debias: bool = True
    common_seeds: bool = False
    targets: Sequence[str] | None = None
    name: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.problem, Problem):
            raise TypeError(f"problem is {self.problem!r}: give an object such as hetcal.Problem(...)")
        if not isinstance(self.name, str) or self.name == GIVEN:
            raise ValueError(f"name of {self._title} is {self.name!r}: give a text other than {GIVEN!r}")
        for count in ("trials", "replicates", "batch"):
            value = getattr(self, count)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
                raise ValueError(f"{count} of {self._title} is a whole number of at least 1, not {value!r}")
        if self.sampler not in SAMPLERS and not callable(self.sampler):
            raise ValueError(
                f"sampler of {self._title} is one of {', '.join(SAMPLERS)} or a function of seed= that returns an "
                f"Optuna sampler, not {self.sampler!r}"
            )
        if self.targets is not None:
            object.__setattr__(self, "problem", self._with_targets(self.targets))
        self._check_replicates()
        self._check_box()
        if not isinstance(self.carry, bool):
            names = self.carry
            if isinstance(names, str) or not all(isinstance(name, str) for name in names):
                raise ValueError(
                    f"carry of {self._title} is True, False or a list of stages' names, not {names!r}"
                )
            object.__setattr__(self, "carry", tuple(names))

    @property
    def _title(self) -> str:
        return f"stage {self.name!r}" if self.name else "a stage"

    def _with_targets(self, names: Sequence[str]) -> Problem:
        known = {target.name: target for target in self.problem.targets}
        if isinstance(names, str) or not names:
            raise ValueError(f"targets of {self._title} is a list of one name or more, not {names!r}")
        for name in names:
            if name not in known:
                raise ValueError(
                    f"{self._title} wants target {name!r}; its problem, of simulator "
                    f"{self.problem.simulator.name!r}, has {', '.join(known)}"
                )
        return Problem(self.problem.space, self.problem.simulator, [known[name] for name in names])

    def _check_replicates(self) -> None:
        for target in self.problem.ensemble_targets:
            try:
                target.check_replicates(int(self.replicates), bool(self.debias))
            except ValueError as error:
                raise ValueError(f"{self._title}: {error}") from None

    def _check_box(self) -> None:
        """Check `hold` and `narrow`, and write the latter for each parameter it concerns."""
        space = self.problem.space
        if not isinstance(self.hold, Mapping):
            raise ValueError(f"hold of {self._title} is a dict of parameters, not {self.hold!r}")
        free = [name for name in space.names if name not in self.hold]
        if not isinstance(self.narrow, Mapping):
            object.__setattr__(self, "narrow", {name: self.narrow for name in free})
        for what, named in (("holds", self.hold), ("narrows", self.narrow)):
            for name in named:
                if name not in space.names:
                    raise ValueError(
                        f"{self._title} {what} {name!r}, which is no parameter: there are {', '.join(space.names)}"
                    )
        if not free:
            raise ValueError(f"{self._title} holds every parameter: leave at least one to be searched")
        for name, value in self.hold.items():
            low, high = space[name].support
            if value == "best":
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
                raise ValueError(f'{self._title} holds {name} at {value!r}: give a number, or "best"')
            if not low <= value <= high:
                raise ValueError(
                    f"{self._title} holds {name} at {value:g}, outside of its prior [{low:g}, {high:g}]"
                )
        held = {name: value if value == "best" else float(value) for name, value in self.hold.items()}
        object.__setattr__(self, "hold", held)
        for name, value in self.narrow.items():
            if name in self.hold:
                raise ValueError(f"{self._title} both holds and narrows {name!r}: choose one")
            if value == "good":
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1:
                raise ValueError(
                    f"{self._title} narrows {name} to {value!r}: give a share of its prior between 0 and 1, or "
                    '"good"'
                )

    @property
    def free(self) -> tuple[str, ...]:
        """Parameters that are searched."""
        return tuple(name for name in self.problem.space.names if name not in self.hold)

    @property
    def looks_back(self) -> bool:
        """Whether the stage before decides what is held or where is searched."""
        return bool(self.narrow) or "best" in self.hold.values()

    def make_sampler(self, start: dict[str, float] | None) -> Callable[..., Any]:
        """Function of ``seed=`` that makes an Optuna sampler; CMA-ES begins at `start`, Optuna's parameters."""
        import optuna

        if callable(self.sampler):
            return self.sampler
        if self.sampler == "random":
            return optuna.samplers.RandomSampler
        if self.sampler == "cmaes":
            return lambda seed: optuna.samplers.CmaEsSampler(
                x0=start, seed=seed, warn_independent_sampling=False
            )
        # Trials of the same batch keep apart: those that run count as bad ones.
        return lambda seed: optuna.samplers.TPESampler(seed=seed, constant_liar=self.batch > 1)

    def __repr__(self) -> str:
        sampler = self.sampler if isinstance(self.sampler, str) else getattr(self.sampler, "__name__", "own")
        return (
            f"Stage({self.name!r}: {self.problem.simulator.name}, {self.trials} trials x {self.replicates} seeds, "
            f"{sampler})"
        )
