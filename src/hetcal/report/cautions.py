"""What a reader should know before using the answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from hetcal.report.words import NO_ESTIMATE, against_floor, listed, number, percent, section, value_of

if TYPE_CHECKING:
    from hetcal.report.findings import Findings

_BLIND = 0.1  # share of the variance between held-out sets below which an emulator tells next to nothing
_POINTS = 2000  # of the not-ruled-out set that are asked for their emulated loss


def cautions(findings: Findings) -> list[str]:
    """Sentences under "Before you use it"."""
    kinds = (
        _rare_runs,
        _weak_loss,
        _failures,
        _ties,
        _winner_at_an_end,
        _open_ranges,
        _emulators,
        _held_out,
        _believed,
    )
    return [NO_ESTIMATE, *(note for kind in kinds for note in kind(findings))]


def _rare_runs(findings: Findings) -> Iterator[str]:
    losses, error = np.sort(findings.fresh), findings.result.best.loss_se
    if len(losses) < 2:
        return
    mean = losses.mean()
    moved = mean - losses[:-1].mean()
    if moved > error or moved > 0.05 * abs(mean):
        yield (
            f"1 of {len(losses)} fresh runs carries {percent(moved / abs(mean))} of the mean loss: it lost "
            f"{number(losses[-1])}, the median run {number(float(np.median(losses)))} (a run that died out, perhaps); "
            f"without it the mean would be {number(losses[:-1].mean())}. The mean, its error and the noise floor hang "
            "on such rare runs; more winner_replicates make them firmer."
        )


def _weak_loss(findings: Findings) -> Iterator[str]:
    counted = [check.outside for check in findings.checks if check.target.weight > 0]
    outside = sum(int(o.sum()) for o in counted)
    if against_floor(findings) != "above" and outside > 0.2 * sum(o.size for o in counted):
        yield (
            "The mean loss is no higher than chance alone would make it, and yet more than one data point in five lies "
            "outside of the bands: this loss is a weak judge of the fit, so look at the first figure."
        )


def _failures(findings: Findings) -> Iterator[str]:
    failed, total = int(findings.failed.sum()), len(findings.runs)
    if not failed:
        return
    fullest = {name: max(quarters, key=lambda q: q.failed) for name, quarters in findings.quarters.items()}
    name, quarter = max(fullest.items(), key=lambda item: item[1].failed)
    where = ""
    # Runs crowd where the search went, so a quarter also has to fail more often than the others.
    if quarter.failed >= 0.6 * failed and quarter.failed * total > 1.5 * quarter.total * failed:
        parameter = findings.result.problem.space[name]
        low, high = value_of(parameter, quarter.low), value_of(parameter, quarter.high)
        where = f", {quarter.failed:,} of them where {name} is {low} to {high}"
    yield (
        f"{failed:,} of {total:,} runs failed{where}: they have no part in any mean, so losses there speak of the runs "
        f"that came through ({section('runs')})."
    )


def _ties(findings: Findings) -> Iterator[str]:
    count = len(findings.result.best.ties)
    if count:
        yield (
            f"{count} other parameter {'set' if count == 1 else 'sets'} could not be told from the best fit on the "
            f"same random seeds (ties); {section('parameters')} lists them."
        )


def _winner_at_an_end(findings: Findings) -> Iterator[str]:
    result, space = findings.result, findings.result.problem.space
    for parameter, u in zip(space.parameters, space.to_unit(space.array(result.best.theta))[0], strict=True):
        if min(u, 1 - u) < 0.01:
            yield (
                f"The best fit of {parameter.name}, {value_of(parameter, result.best.theta[parameter.name])}, "
                f"stands at the {'lower' if u < 0.5 else 'upper'} end of its prior: better values may lie beyond, "
                "which a wider prior would show."
            )


def _open_ranges(findings: Findings) -> Iterator[str]:
    result = findings.result
    for j, row in enumerate(result.ranges.table.itertuples()):
        prior = result.problem.space[row.parameter].prior
        reaches = {"lower": prior.cdf(row.low) < 0.01, "upper": prior.cdf(row.high) > 0.99}
        for end, there in reaches.items():
            if not there or row.share > 0.9:
                continue
            text = f"What is not ruled out of {row.parameter} reaches the {end} end of its prior: "
            if _falls_towards(findings, j, end):
                yield text + "the loss falls towards it, so a wider prior may hold better values."
            else:
                yield text + "the runs so far do not bound it on that side."


def _falls_towards(findings: Findings, j: int, end: str) -> bool:
    """Whether the lowest emulated loss near an end of what is left is surely below the lowest in the middle."""
    left = findings.result.ranges.unit
    place = (left[:, j] - left[:, j].min()) / max(float(np.ptp(left[:, j])), 1e-12)
    place = place if end == "upper" else 1 - place
    lowest = []
    for part in (place >= 0.9, (place > 1 / 3) & (place < 2 / 3)):
        if not part.any():
            return False
        near = findings.result.emulator.predict(left[part][:_POINTS])
        i = int(np.argmin(near.mean))
        lowest.append((near.mean[i], near.mean_var[i]))
    (outer, outer_var), (middle, middle_var) = lowest
    return bool(middle - outer > np.sqrt(outer_var + middle_var))


def _emulators(findings: Findings) -> Iterator[str]:
    bad = findings.diagnostics[findings.diagnostics["verdict"] == "bad"]
    for name, rows in bad.groupby("emulator", sort=False):
        yield (
            f"The emulator of {name} fails {len(rows)} of its checks ({section('emulators')}), so ranges and "
            "sensitivities that rest on it may be wrong."
        )


def _held_out(findings: Findings) -> Iterator[str]:
    from scipy.stats import binom

    frame = findings.result.held_out
    if not len(frame):
        return
    last = frame[frame["round"] == frame["round"].max()]
    blind = last.loc[last["r2"] < _BLIND, "target"].tolist()
    if blind:
        yield (
            f"Of sets that were held out, the emulator{'s' if len(blind) > 1 else ''} of {listed(blind)} "
            f"predict{'' if len(blind) > 1 else 's'} hardly more than the mean (R2 below {_BLIND}): give more "
            "parameter sets or replicates, or drop the target."
        )
    inside = last["coverage_90"] * last["locations"]
    unsound = last.loc[binom.cdf(inside.round(), last["locations"], 0.9) < 0.001, "target"].tolist()
    if unsound:
        yield (
            f"Of sets that were held out, 90 % intervals of the emulator{'s' if len(unsound) > 1 else ''} of "
            f"{listed(unsound)} hold too few ({section('emulators')}), so ranges and sensitivities may be too narrow."
        )


def _believed(findings: Findings) -> Iterator[str]:
    best = findings.result.best
    if best.optimism > 2 * best.loss_se:
        yield (
            f"The search had believed a loss of {number(best.believed)} at the best fit, too good by "
            f"{number(best.optimism)}; the value above comes from fresh runs and is not affected."
        )
