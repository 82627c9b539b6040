"""What a report says in sentences, and how it writes numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hetcal.emulators.transforms import as_transform

if TYPE_CHECKING:
    from hetcal.parameters import Parameter
    from hetcal.report.findings import Check, Findings

_NAMED = 3  # parameters that a sentence names; the table has all
_LOSSES = {
    "rss": "sum of squares",
    "log_rss": "sum of squared log ratios",
    "sqrt_rss": "sum of squares of roots",
    "binomial": "binomial, minus log likelihood",
    "poisson_deviance": "Poisson deviance",
    "negative_binomial": "negative binomial deviance",
    "gaussian": "Gaussian, half the squared residuals",
}


def number(value: float, digits: int = 3) -> str:
    """A number with so many significant digits, without an exponent where a reader can do without.

    Examples
    --------
    >>> number(2.20536), number(15234.7), number(0.00001234)
    ('2.21', '15,235', '1.23e-05')
    >>> number(6.0)
    '6'
    """
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    size = math.floor(math.log10(abs(value)))
    if not -4 <= size < 9:
        return f"{value:.{digits - 1}e}"
    text = f"{value:,.{max(0, digits - 1 - size)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def with_error(value: float, error: float) -> str:
    """A value and its standard error, both to the error's second digit.

    Examples
    --------
    >>> with_error(201.2389, 8.04)
    '201.2 ± 8.0'
    """
    if not (math.isfinite(error) and error > 0):
        return number(value)
    decimals = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:,.{decimals}f} ± {error:,.{decimals}f}"


def listed(parts: Sequence[str]) -> str:
    """Parts of a sentence, joined by commas and "and"."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def is_logarithmic(parameter: Parameter) -> bool:
    """Whether a parameter is seen on a logarithmic axis: where its prior is log-uniform."""
    return parameter.prior.dist.name in ("loguniform", "reciprocal")


def value_of(parameter: Parameter, value: float) -> str:
    """A parameter's value, to about a thousandth of the width of its prior."""
    if is_logarithmic(parameter):
        return number(value)
    width = float(np.ptp(parameter.prior.ppf([0.005, 0.995])))
    return f"{value:,.{max(0, 2 - math.floor(math.log10(width / 2)))}f}"


def quantity(parameter: Parameter, value: float) -> str:
    """A parameter's value with its unit."""
    return f"{value_of(parameter, value)} {parameter.unit}".strip()


def called(parameter: Parameter) -> str:
    """What a sentence calls a parameter."""
    return f"{parameter.label} ({parameter.name})" if parameter.label else parameter.name


def loss_title(findings: Findings) -> str:
    """What the total loss is, for axes and captions."""
    counted = [t for t in findings.result.problem.run_targets if t.weight > 0]
    if len(counted) == 1:
        return f"loss of {counted[0].name} ({loss_name(counted[0])})"
    return f"total loss (weighted sum of {len(counted)} targets)"


def loss_name(target: Any) -> str:
    """A target's family of losses in words."""
    return _LOSSES[target.loss]


def emulated_as(emulator: Any) -> str:
    """The scale on which an emulator sees its loss y."""
    text = str(as_transform(emulator.transform))
    return "y itself" if text == "none" else text


def answer(findings: Findings) -> list[str]:
    """The answer in three sentences: what fits best, what is not ruled out yet, what the model misses."""
    return [_best(findings), _left(findings), _missed(findings)]


def _best(findings: Findings) -> str:
    space, best = findings.result.problem.space, findings.result.best
    named = _in_order(findings)
    values = [f"{called(space[n])} = {quantity(space[n], best.theta[n])}" for n in named]
    if space.dimension > len(named):
        values.append(f"{space.dimension - len(named)} more (table below)")
    text = (
        f"The model fits best at {listed(values)}, where its mean loss is "
        f"{with_error(best.loss, best.loss_se)} over {best.replicates} fresh runs"
    )
    if not math.isfinite(best.noise_floor):
        return text + "."
    floor = (
        f"{number(best.noise_floor)} that chance alone would cost if the model were right (the noise floor)"
    )
    if at_noise_floor(findings):
        return f"{text}, which cannot be told from the {floor}."
    return f"{text}, above the {floor}, so it does not reproduce the data fully."


def at_noise_floor(findings: Findings) -> bool:
    """Whether the winner's loss is within two standard errors of its noise floor, or below."""
    best = findings.result.best
    return best.loss - best.noise_floor <= 2 * best.loss_se


def _in_order(findings: Findings) -> list[str]:
    """The most sensitive parameters, in the order of the space; all where they are few."""
    space = findings.result.problem.space
    named = space.names if space.dimension <= 4 else findings.ranked[:_NAMED]
    return [name for name in space.names if name in named]


def _left(findings: Findings) -> str:
    space, table = findings.result.problem.space, findings.result.ranges.table.set_index("parameter")
    named = [n for n in _in_order(findings) if table.loc[n, "share"] < 0.9]
    wide = [n for n in _in_order(findings) if n not in named]
    ranges = [
        f"{n} from {value_of(space[n], table.loc[n, 'low'])} to {quantity(space[n], table.loc[n, 'high'])}"
        for n in named
    ]
    whole = [f"nearly the whole prior of {listed(wide)}"] if wide else []
    return (
        f"Not ruled out yet: {listed(ranges + whole)}; this is what the runs so far leave to be checked and carries "
        "no probability."
    )


def _missed(findings: Findings) -> str:
    parts = []
    for check in findings.checks:
        if check.target.weight > 0 and check.outside.any():
            count = int(check.outside.sum())
            single = check.outside.size == 1
            few = f" ({missed_places(check)})" if count <= 6 and not single else ""
            parts.append(
                check.target.name
                if single
                else f"{count} of {check.outside.size} data of {check.target.name}{few}"
            )
    matters = [f"{name} ({index})" for name, index in _most_sensitive(findings)]
    drives = f"the loss depends most on {listed(matters)} (total sensitivity, at most 1)"
    if parts:
        return (
            f"The model does not reproduce {listed(parts)}: there the data lie outside of what 90 % of its runs at the "
            f"best fit give; {drives}."
        )
    if not any(len(check.simulated) for check in findings.checks):
        return f"No fresh run gave every output, so data and model could not be compared; {drives}."
    return f"Every datum lies within the band that holds 90 % of the runs at the best fit; {drives}."


def missed_places(check: Check) -> str:
    """The data outside of the 90 % band, as a reader calls them: "day 3", "days 0, 11 and 12"."""
    where = [", ".join(str(i) for i in index) for index in np.argwhere(check.outside)]
    if check.outside.ndim > 1:
        where = [f"({place})" for place in where]
    many = {"day": "days", "datum": "data"}
    return f"{check.axis if len(where) == 1 else many[check.axis]} {listed(where)}"


def _most_sensitive(findings: Findings) -> list[tuple[str, str]]:
    total = findings.sobol.table.set_index("parameter")["total"]
    return [(name, f"{total[name]:.2f}") for name in findings.ranked[:2]]


def cautions(findings: Findings) -> list[str]:
    """What a reader should know before using the answer."""
    result = findings.result
    notes = []
    counted = [check.outside for check in findings.checks if check.target.weight > 0]
    outside = sum(int(o.sum()) for o in counted)
    if at_noise_floor(findings) and outside > 0.2 * sum(o.size for o in counted):
        notes.append(
            "The mean loss is no higher than chance alone would make it, and yet more than one datum in five lies "
            "outside of the bands: this loss is a weak judge of the fit, so look at the first figure."
        )
    if result.best.ties:
        count = len(result.best.ties)
        notes.append(
            f"{count} other parameter {'set' if count == 1 else 'sets'} could not be told from the best fit on the "
            "same random seeds; the parameter table lists them."
        )
    for row in result.ranges.table.itertuples():
        prior = result.problem.space[row.parameter].prior
        reaches = {"lower": prior.cdf(row.low) < 0.01, "upper": prior.cdf(row.high) > 0.99}
        ends = [end for end, there in reaches.items() if there and row.share < 0.9]
        if ends:
            notes.append(
                f"What is not ruled out of {row.parameter} reaches the {listed(ends)} end of its prior: a wider prior "
                "may hold better values."
            )
    bad = findings.diagnostics[findings.diagnostics["verdict"] == "bad"]
    for name, rows in bad.groupby("emulator", sort=False):
        notes.append(
            f"The emulator of {name} fails {len(rows)} of its checks (section 7), so ranges and sensitivities that "
            "rest on it may be wrong."
        )
    if result.best.optimism > 2 * result.best.loss_se:
        notes.append(
            f"The search had believed a loss of {number(result.best.believed)} at the best fit, too good by "
            f"{number(result.best.optimism)}; the value above comes from fresh runs and is not affected."
        )
    return notes
