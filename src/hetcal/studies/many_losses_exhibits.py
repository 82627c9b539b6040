"""What the study of many losses shows beside its answer: the same calibration with a stack in place of the process."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from hetcal.calibrate.result import CalibrationResult
from hetcal.checks.truth_recovery import FALSE, OPEN, RECOVERED, SyntheticRecovery, recovery_of
from hetcal.emulators import StackedGP
from hetcal.report.canvas import BLUE, ORANGE, legend_above
from hetcal.report.exhibits import Exhibit
from hetcal.report.words import index_with_interval
from hetcal.studies.many_losses_problem import TRUTH

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from hetcal.studies.answers import Answers

PROCESS, STACK = "GP-BO", "GPSG-BO"
AT_TRUTH = 400  # runs at the true parameters
_COST = "seconds of the side by side"


def exhibits(answers: Answers) -> list[Exhibit]:
    """GP-BO and GPSG-BO side by side: what they found, how they predict, which parameters came back."""
    process = answers.result
    assert isinstance(process, CalibrationResult)
    stack = replace(process.method, emulator=StackedGP())
    # In the study's ledger: the first design's runs are shared.
    results = {PROCESS: process, STACK: stack.run(process.ledger, process.seed, workers=answers.workers)}
    recovered = {name: recovery_of(result, TRUTH) for name, result in results.items()}
    return [_found(answers, results), _predicted(results), _came_back(recovered)]


def _seconds(result: CalibrationResult) -> dict[str, float]:
    """What a calibration took when it was finished; a report drawn again tells the same."""
    known = result.ledger.checkpoints(result.study)
    if _COST not in known:
        result.ledger.checkpoint(result.study, _COST, result.seconds)
    return known.get(_COST, result.seconds)


def _found(answers: Answers, results: Mapping[str, CalibrationResult]) -> Exhibit:
    """The winners' loss beside that of the truth, and the cost."""
    problem = answers.result.problem
    runs = answers.simulate(problem.simulator, pd.DataFrame([TRUTH]), AT_TRUTH)
    losses = problem.evaluate({name: values[0] for name, values in runs.items()})["total"]
    truth, error = float(losses.mean()), float(losses.std() / math.sqrt(len(losses)))
    best = {name: result.best for name, result in results.items()}
    columns = {
        name: {
            "loss F of the winner, on fresh runs": f"{best[name].loss:.2f} ± {best[name].loss_se:.2f}",
            "F that the search believed of it": f"{best[name].believed:.2f}",
            "noise floor at the winner": f"{best[name].noise_floor:.2f}",
            "finalists tied with it": str(len(best[name].ties)),
            "part of the prior not ruled out": _share(result.ranges.volume),
            "runs": f"{result.runs['total']:,}",
            "seconds in all": f"{_seconds(result)['total']:.0f}",
            "of these fitting": f"{_seconds(result)['fitting']:.0f}",
        }
        for name, result in results.items()
    }
    gap = best[STACK].loss - best[PROCESS].loss
    apart = math.hypot(best[PROCESS].loss_se, best[STACK].loss_se)
    low = min(best, key=lambda name: best[name].loss)
    told = f"differ by {abs(gap):.2f} ± {apart:.2f}"
    verdict = (
        f"{told}: {low} found the lower loss" if abs(gap) > 2 * apart else f"{told}, which is no difference"
    )
    return Exhibit(
        "Gaussian processes and stacks, side by side",
        f"The same calibration twice, from the same first design: {PROCESS} emulates each loss by a Gaussian process, "
        f"{STACK} by a stack of learners with a Gaussian process on top. Their winners {verdict}. {AT_TRUTH} runs at "
        f"the true parameters have a mean loss of {truth:.2f} ± {error:.2f}. A winner below that is no better than the "
        "truth: it is nearer to this one outbreak, or its runs are more alike.",
        table=pd.DataFrame(columns).rename_axis("").reset_index(),
        note="What was found and what it cost. ±: standard error. Seconds are those of the process that finished each "
        "calibration, runs that it found in the ledger not counted.",
    )


def _share(volume: float) -> str:
    return f"{100 * volume:.2f} %" if volume >= 1e-4 else "less than 0.01 %"


def _predicted(results: Mapping[str, CalibrationResult]) -> Exhibit:
    """How both emulators of each loss predict the locations that neither learned from."""
    last = {}
    for name, result in results.items():
        frame = result.held_out
        last[name] = frame[frame["round"] == frame["round"].max()].set_index("target")
    process, stack = last[PROCESS], last[STACK]
    columns: dict[str, list[str]] = {"loss": list(process.index)}
    for name, frame in last.items():
        columns[f"R2, {name}"] = [f"{value:.2f}" for value in frame["r2"]]
        columns[f"log score, {name}"] = [
            f"{r.log_score:.2f} ± {r.log_score_se:.2f}" for r in frame.itertuples()
        ]
        columns[f"90 % hold, {name}"] = [f"{100 * value:.0f} %" for value in frame["coverage_90"]]
    error = np.hypot(process["log_score_se"], stack["log_score_se"])
    gap = stack["log_score"] - process["log_score"]
    better = [(gap > 2 * error).sum(), (gap < -2 * error).sum()]
    mean = {name: frame["coverage_90"].mean() for name, frame in last.items()}
    return Exhibit(
        "Losses at parameter sets that no emulator learned from",
        f"{int(process['locations'].max())} parameter sets of the first design were held out. By the log score, which "
        f"counts both how near a prediction is and how sure it claims to be, stacks predict {better[0]} of "
        f"{len(gap)} losses better than Gaussian processes by more than two standard errors, and {better[1]} worse. "
        f"90 % intervals of the processes hold {100 * mean[PROCESS]:.0f} % of the location means, those of the stacks "
        f"{100 * mean[STACK]:.0f} %.",
        table=pd.DataFrame(columns),
        note="After the last round, on the emulators' own scales. R2: 1 is perfect, 0 no better than the mean; a "
        "higher log score is better.",
    )


def _came_back(recovered: Mapping[str, SyntheticRecovery]) -> Exhibit:
    """Which parameters of the truth came back, their total indices beside it."""
    frames = {name: found.table.set_index("parameter") for name, found in recovered.items()}
    order = frames[PROCESS].sort_values("total", ascending=False).index
    rows = []
    for parameter in order:
        for name, frame in frames.items():
            r = frame.loc[parameter]
            rows.append(
                {
                    "parameter": parameter,
                    "truth": f"{r.truth:.4g}",
                    "by": name,
                    "not ruled out": f"{r.low:.3g} to {r.high:.3g}",
                    "verdict": r.verdict,
                    "total index": index_with_interval(r.total, r.total_low, r.total_high),
                }
            )
    told = "; ".join(
        f"{name}: {found.counts[RECOVERED]} recovered, {found.counts[OPEN]} not, {found.counts[FALSE]} false "
        f"{'recovery' if found.counts[FALSE] == 1 else 'recoveries'}"
        for name, found in recovered.items()
    )
    caption = "What is not ruled out of each parameter's prior, as a share of it; the line is the truth."
    return Exhibit(
        "Which parameters come back",
        f"Of {len(order)} parameters, {told}. Recovered: what is not ruled out holds the truth and is narrower than "
        "half of the prior. A parameter whose total index is near 0 does not change the weighted loss, so no amount "
        "of runs will bring it back; a false recovery is narrow and misses the truth.",
        {caption: partial(_paint, frames={name: frame.loc[order] for name, frame in frames.items()})},
        pd.DataFrame(rows),
        note="Parameters by their total index for the weighted loss F over the prior, in brackets its 95 % interval; "
        "one from 0 to 1 says that these emulators do not know it.",
    )


def _paint(axes: Axes, frames: Mapping[str, pd.DataFrame]) -> None:
    from hetcal.studies.many_losses_problem import space

    chosen = space()
    for (name, frame), colour, shift in zip(frames.items(), (BLUE, ORANGE), (-0.18, 0.18), strict=True):
        ends = {
            end: chosen.to_unit(chosen.array(dict(frame[end])))[0][
                [chosen.names.index(p) for p in frame.index]
            ]
            for end in ("low", "high", "truth")
        }
        places = np.arange(len(frame))
        axes.hlines(places + shift, ends["low"], ends["high"], color=colour, lw=5, label=name)
        axes.vlines(ends["truth"], places - 0.4, places + 0.4, color="black", lw=1.5)
    axes.set_yticks(places, frame.index)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel("share of the prior below")
    axes.figure.set_figheight(4.5)
    legend_above(axes, 2)
