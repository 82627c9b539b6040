"""summary.json: the report's numbers for programs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from hetcal.report.findings import Findings
    from hetcal.sensitivity.sobol import SobolResult


def summary(findings: Findings) -> dict[str, Any]:
    """The report's numbers, plain enough for JSON; what is not finite is None.

    Parameters
    ----------
    findings : Findings

    Returns
    -------
    dict
        Keys study, seed, runs, best, ranges, not_ruled_out_volume (share of the prior), noise_floor,
        above_noise_floor, sobol (over the prior), sobol_left (over what is not ruled out), sobol_by_loss and forest
        (of several targets), held_out, emulators, misfit, stopped, seconds.
    """
    result, best = findings.result, findings.result.best
    units = {p.name: p.unit for p in result.problem.space.parameters}
    return plain(
        {
            "study": result.study,
            "seed": result.seed,
            "runs": result.runs,
            "best": {
                "theta": best.theta,
                "loss": best.loss,
                "loss_se": best.loss_se,
                "optimism": best.optimism,
                "believed": best.believed,
                "replicates": best.replicates,
                "losses": best.losses,
                "ties": list(best.ties),
            },
            "ranges": {
                row["parameter"]: {
                    "low": row["low"],
                    "high": row["high"],
                    "share": row["share"],
                    "unit": units[row["parameter"]],
                }
                for row in result.ranges.table.to_dict("records")
            },
            "not_ruled_out_volume": result.ranges.volume,
            "noise_floor": best.noise_floor,
            "above_noise_floor": {"difference": best.loss - best.noise_floor, "se": findings.gap_se},
            "sobol": _sobol(findings.sobol),
            "sobol_left": None if findings.sobol_left is None else _sobol(findings.sobol_left),
            "sobol_by_loss": None if findings.by_loss is None else findings.by_loss.table.to_dict("records"),
            "forest": None if findings.forest is None else findings.forest.agreement.to_dict("records"),
            "held_out": result.held_out.to_dict("records"),
            "emulators": {name: _emulator(findings, name) for name in result.emulators},
            "misfit": {
                check.target.name: {"data": check.outside.size, "outside": np.argwhere(check.outside)}
                for check in findings.checks
            },
            "stopped": result.stopped,
            "seconds": result.seconds,
        }
    )


def _sobol(indices: SobolResult) -> dict[str, Any]:
    share = indices.seed_share
    return {
        "scale": indices.scale,
        "n": indices.n,
        "level": indices.level,
        "intervals": indices.label,
        "within": indices.within,
        "indices": indices.table.to_dict("records"),
        "seed_share": None if share is None else share._asdict(),
        "dummy_line": None if indices.dummy is None else indices.dummy["line"].iloc[0],
    }


def _emulator(findings: Findings, name: str) -> dict[str, Any]:
    emulator, frame = findings.result.emulators[name], findings.diagnostics
    rows = frame[frame["emulator"] == name].drop(columns="emulator")
    return {
        "emulator": repr(emulator),
        "locations": len(emulator.locations),
        "runs": emulator.runs,
        "noise": emulator.choice.chosen,
        "optimiser": emulator.state.message,
        "diagnostics": rows.to_dict("records"),
        "learners": emulator.contributions.to_dict("records") if hasattr(emulator, "contributions") else [],
    }


def plain(value: Any) -> Any:
    """A value as JSON knows it: numpy to numbers and lists, NaN and infinities to None.

    Examples
    --------
    >>> import numpy as np
    >>> from hetcal.report.summary import plain
    >>> plain({"a": np.array([1.0, np.nan]), "b": np.int64(3)})
    {'a': [1.0, None], 'b': 3}
    """
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
