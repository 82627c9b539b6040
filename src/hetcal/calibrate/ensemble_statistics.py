"""The numbers that ensembles are described by: what each is of a run, and which of them say nothing of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hetcal.targets import EnsembleTarget

KINDS = {"share_positive": "share", "mean": "mean", "sd": "sd"}

# A number says something of its own where this share of its variance between runs is not that of others.
LEAST_OWN = 0.01
_FEWEST = 30


@dataclass(frozen=True)
class RunNumber:
    """One number of a run: an element of an output, or whether it is positive."""

    output: str
    element: int
    share: bool
    name: str

    def of(self, outputs: dict[str, np.ndarray]) -> np.ndarray:
        """Its values in N runs, (N,)."""
        values = np.asarray(outputs[self.output], dtype=float)
        values = values.reshape(len(values), -1)[:, self.element]
        return (values > 0).astype(float) if self.share else values


@dataclass(frozen=True)
class Statistic:
    """One number that was observed of an ensemble: which, of what number of a run, over how many realisations."""

    name: str
    kind: str
    number: RunNumber
    realisations: int


def statistics_of(targets: Sequence[EnsembleTarget]) -> list[Statistic]:
    """The numbers that targets compare, in the order of their observed values."""
    found = []
    for target in targets:
        kind = KINDS[target.statistic]
        for i, element in enumerate(target.elements):
            own = f"[{element}]" if target.observed.size > 1 else ""
            number = RunNumber(
                target.output,
                int(element),
                kind == "share",
                f"{target.output}{own}" + " > 0" * (kind == "share"),
            )
            found.append(Statistic(f"{target.name}{own}", kind, number, int(target.realisations or 0)))
    return found


def centred(y: np.ndarray, location: np.ndarray) -> np.ndarray:
    """Deviations from the means of the locations, (N,), of the variance of one run."""
    count = np.bincount(location)
    mean = np.bincount(location, weights=y) / count
    grown = np.sqrt(count / np.maximum(count - 1, 1))
    return (y - mean[location]) * grown[location]


def without_own(
    statistics: list[Statistic], values: dict[str, np.ndarray], location: np.ndarray
) -> dict[str, str]:
    """Statistics that say nothing of their own: numbers that never vary, or follow others in the same runs."""
    said: dict[str, str] = {}
    kept: dict[str, np.ndarray] = {}
    names: dict[str, list[str]] = {}
    for s in statistics:
        names.setdefault(s.number.name, []).append(s.name)
    for name, of_number in names.items():
        y = values[name]
        if np.ptp(y) <= 1e-12 * np.abs(y).max():
            said |= {n: f"{n} is left out: {name} is {y[0]:g} in all runs" for n in of_number}
            continue
        # By location, so that those where runs differ most do not decide alone.
        each = centred(y, location)
        sd = np.sqrt(np.bincount(location, weights=each**2) / np.bincount(location))
        z = np.divide(each, sd[location], out=np.zeros(len(y)), where=sd[location] > 1e-12 * np.abs(y).max())
        for other, already in kept.items():
            both = (z != 0) & (already != 0)
            if both.sum() < _FEWEST:
                continue
            alike = float(
                (z[both] @ already[both]) ** 2 / ((z[both] @ z[both]) * (already[both] @ already[both]))
            )
            if 1 - alike < LEAST_OWN:
                said |= {
                    n: f"{n} is left out: between the runs of a location, {100 * alike:.1f} % of what varies of {name} "
                    f"is what varies of {other}"
                    for n in of_number
                }
                break
        else:
            kept[name] = z
    return said
