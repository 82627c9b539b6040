"""Diagnostics: does an emulator predict locations that it has not seen as well as it claims?

All numbers come from leave-one-out by location, on the emulator's own scale. If an emulator's claims are right, its
standardised residuals are standard normal, and every band here follows: chi-square, binomial, the law of a maximum.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

# A value outside of the first band is worth a look, outside of the second it is bad.
_LOOK, _BAD = 0.95, 0.999
_QUARTERS = ("quietest quarter", "second quarter", "third quarter", "noisiest quarter")
_TOO_SURE = 'predicted less well than claimed: give more locations, try noise="heteroskedastic", or another transform.'
_TOO_CAREFUL = (
    "Intervals are wider than needed: nothing is claimed falsely, but the search is slower than it could be."
)


@dataclass(frozen=True)
class _Law:
    """Quantiles of a diagnostic where the emulator is right, and what it means to fall out of them."""

    name: str
    value: float
    quantile: Any
    good: str
    below: str
    above: str
    careful: str = ""  # the side ("below" or "above") on which the emulator is only too careful

    def row(self) -> dict[str, Any]:
        """Value, band, verdict, advice."""
        low, high = self.quantile((1 - _LOOK) / 2), self.quantile((1 + _LOOK) / 2)
        worst = self.quantile((1 - _BAD) / 2), self.quantile((1 + _BAD) / 2)
        side = "below" if self.value < low else "above" if self.value > high else ""
        far = self.value < worst[0] or self.value > worst[1]
        verdict = "good" if not side else "bad" if far and side != self.careful else "look"
        advice = {"": self.good, "below": self.below, "above": self.above}[side]
        return _row(self.name, self.value, low, high, verdict, advice)


def diagnose(emulators: Mapping[str, Any]) -> pd.DataFrame:
    """Check emulators by predicting each of their locations from all others.

    Use it before believing a calibration: an emulator that is too sure of itself hides good parameters. Each
    diagnostic has the band in which it lies in 95 of 100 cases where the emulator's claims are right; outside of it
    the verdict is "look", outside of what happens in 999 of 1,000 cases "bad" (but only "look" where the emulator
    is too careful). So among eleven rows of a flawless emulator, one "look" in a few reports is to be expected. The
    laws take the residuals of different locations as independent, which they nearly are.

    Parameters
    ----------
    emulators : mapping of str to HetGP
        Fitted emulators by name.

    Returns
    -------
    pandas.DataFrame
        Columns emulator, diagnostic, value, low, high (the band), verdict ("good", "look", "bad") and advice (one
        sentence). Rows for each emulator: mean log score, R2, sd of standardised residuals, largest |z|, coverage of
        50 % and 90 % intervals, coverage of 90 % intervals in each quarter of the locations ordered by noise, and the
        choice of noise model: the gain of varying over constant noise in log score a location, its band one standard
        error either side of 0, within which the two cannot be told apart.

    References
    ----------
    Bastos and O'Hagan (2009), Diagnostics for Gaussian process emulators, Technometrics 51; Gneiting and Raftery
    (2007) for the log score.

    Examples
    --------
    >>> import numpy as np
    >>> import hetcal as hc
    >>> from hetcal.diagnostics import diagnose
    >>> X = np.repeat(np.linspace(0, 1, 10), 5)[:, None]
    >>> y = np.random.default_rng(0).normal(np.sin(6 * X[:, 0]), 0.3)
    >>> table = diagnose({"cases": hc.HetGP().fit(X, y)})
    >>> table.columns[:3].tolist()
    ['emulator', 'diagnostic', 'value']
    """
    import pandas as pd

    rows = []
    for name, emulator in emulators.items():
        left_out = emulator.leave_one_out()
        z = left_out["z"].to_numpy()
        checks = [
            _log_score(left_out, z),
            _r2(left_out, emulator.locations.shape[1]),
            _spread(z),
            _largest(z),
            _coverage(z, 0.5),
            _coverage(z, 0.9),
            *_coverage_by_noise(z, left_out, emulator),
            _noise_model(emulator.choice),
        ]
        rows += [{"emulator": name, **check} for check in checks]
    return pd.DataFrame(rows, columns=["emulator", "diagnostic", "value", "low", "high", "verdict", "advice"])


def _row(diagnostic: str, value: float, low: float, high: float, verdict: str, advice: str) -> dict[str, Any]:
    return {
        "diagnostic": diagnostic,
        "value": float(value),
        "low": float(low),
        "high": float(high),
        "verdict": verdict,
        "advice": advice,
    }


def _log_score(left_out: pd.DataFrame, z: np.ndarray) -> dict[str, Any]:
    from scipy.stats import chi2

    n = len(z)
    sharpness = -0.5 * float(np.mean(np.log(2 * math.pi * left_out["sd"].to_numpy() ** 2)))
    return _Law(
        "mean log score",
        float(left_out["log_score"].mean()),
        lambda p: sharpness - chi2.ppf(1 - p, n) / (2 * n),
        "As high as the emulator's own claims promise.",
        f"New locations are {_TOO_SURE}",
        _TOO_CAREFUL,
        careful="above",
    ).row()


def _r2(left_out: pd.DataFrame, dimension: int) -> dict[str, Any]:
    """Share of the variation between locations that is predicted; band by Satterthwaite's chi-square."""
    from scipy.stats import chi2

    observed, variance = left_out["observed"].to_numpy(), left_out["sd"].to_numpy() ** 2
    total = float(((observed - observed.mean()) ** 2).sum())
    degrees = variance.sum() ** 2 / (variance**2).sum()
    unit = (variance**2).sum() / variance.sum() / total
    row = _Law(
        "R2",
        1 - float(((observed - left_out["mean"].to_numpy()) ** 2).sum()) / total,
        lambda p: 1 - unit * chi2.ppf(1 - p, degrees),
        "The emulator explains how locations differ as well as it claims.",
        f"The differences between locations are {_TOO_SURE}",
        _TOO_CAREFUL,
        careful="above",
    ).row()
    if row["verdict"] == "good" and row["value"] < 0.5:
        noise = left_out["noise_var"].to_numpy() / left_out["replicates"].to_numpy()
        mend = (
            "noise hides the rest: more replicates would show it"
            if noise.sum() > left_out["mean_var"].sum()
            else f"more locations would show the rest (there are {len(observed)} for {dimension} parameters)"
        )
        row |= {
            "verdict": "look",
            "advice": f"Less than half of the variation between locations is predicted; {mend}.",
        }
    return row


def _spread(z: np.ndarray) -> dict[str, Any]:
    from scipy.stats import chi2

    degrees = len(z) - 1
    return _Law(
        "sd of standardised residuals",
        float(z.std(ddof=1)),
        lambda p: math.sqrt(chi2.ppf(p, degrees) / degrees),
        "Errors are as large as the emulator claims (1 would be exact).",
        _TOO_CAREFUL,
        f"Errors are larger than claimed, so new locations are {_TOO_SURE}",
        careful="below",
    ).row()


def _largest(z: np.ndarray) -> dict[str, Any]:
    from scipy.stats import norm

    return _Law(
        "largest |z|",
        float(np.abs(z).max()),
        lambda p: norm.ppf((1 + p ** (1 / len(z))) / 2),
        "No location stands out.",
        _TOO_CAREFUL,
        "At least one location is far from its prediction: look at its runs; where several are, another transform "
        "or more replicates help.",
        careful="below",
    ).row()


def _coverage(z: np.ndarray, level: float, where: str = "") -> dict[str, Any]:
    from scipy.stats import binom, norm

    inside = np.abs(z) <= norm.ppf((1 + level) / 2)
    place = f" in the {where}" if where else ""
    if where:
        above = "Intervals here are wider than needed; this costs time, not truth."
        below = (
            f"Locations{place} are predicted less well than claimed: the noise is not as the emulator has it; try "
            'noise="heteroskedastic", more replicates, or another transform.'
        )
    elif level < 0.9:
        above = (
            "Most errors are smaller than claimed; where the largest |z| is too large as well, tails are heavy: try "
            "another transform."
        )
        below = f"New locations are {_TOO_SURE}"
    else:
        above, below = _TOO_CAREFUL, f"New locations are {_TOO_SURE}"
    return _Law(
        f"coverage {level:.0%}".replace("%", " %") + (f", {where}" if where else ""),
        float(inside.mean()),
        lambda p: binom.ppf(p, len(z), level) / len(z),
        f"{level:.0%} intervals hold as many locations{place} as they should.".replace("%", " %"),
        below,
        above,
        careful="above",
    ).row()


def _coverage_by_noise(z: np.ndarray, left_out: pd.DataFrame, emulator: Any) -> list[dict[str, Any]]:
    """Coverage from the quietest to the noisiest locations: by modelled noise, or by what replicates show."""
    noise = left_out["noise_var"].to_numpy()
    if np.ptp(noise) == 0:
        noise = _replicate_variance(emulator.state)
    known = np.flatnonzero(np.isfinite(noise))
    if len(known) < 8:
        advice = "Too few locations have replicates to order them by noise: give replicates."
        return [_row(f"coverage 90 %, {q}", math.nan, math.nan, math.nan, "look", advice) for q in _QUARTERS]
    ordered = known[np.argsort(noise[known], kind="stable")]
    return [_coverage(z[part], 0.9, q) for part, q in zip(np.array_split(ordered, 4), _QUARTERS, strict=True)]


def _replicate_variance(state: Any) -> np.ndarray:
    """Sample variance of the replicates at each location, NaN without replicates."""
    location = np.repeat(np.arange(len(state.mult)), state.mult)
    squares = np.bincount(location, weights=(state.Z - state.Z0[location]) ** 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        return squares / (state.mult - 1)


def _noise_model(choice: Any) -> dict[str, Any]:
    name = f"noise model: {choice.chosen}"
    if math.isnan(choice.gain):
        advice = 'This noise model was asked for and not compared with another; noise="auto" compares.'
        return _row(name, choice.gain, math.nan, math.nan, "look", advice)
    varies = choice.chosen == "heteroskedastic"
    if abs(choice.gain) <= choice.gain_se:
        verdict, advice = (
            "good",
            "Varying and constant noise predict equally well; constant noise is the simpler one.",
        )
        if varies:
            advice = "Varying and constant noise predict equally well; varying noise does no harm."
    elif (choice.gain > 0) == varies:
        verdict = "good"
        advice = f"{'Varying' if varies else 'Constant'} noise predicts new locations better."
    else:
        other = "homoskedastic" if varies else "heteroskedastic"
        verdict, advice = "look", f'The other noise model predicts new locations better: try noise="{other}".'
    return _row(name, choice.gain, -choice.gain_se, choice.gain_se, verdict, advice)
