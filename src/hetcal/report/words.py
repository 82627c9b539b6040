"""What a report says in sentences, and how it writes numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hetcal.checks.statistics import rounded
from hetcal.emulators.transforms import as_transform

if TYPE_CHECKING:
    from hetcal.parameters import Parameter, Space
    from hetcal.report.findings import Check, Findings

# Sections on the search in their order: what a link calls them, and their headings.
SECTIONS = {
    "data": "Data and model at the best fit",
    "parameters": "Parameters",
    "loss": "The loss over the parameters",
    "convergence": "How the search went",
    "sensitivity": "Which parameters matter",
    "emulators": "Can the emulator be trusted?",
    "runs": "Runs, failures, time",
}
NO_ESTIMATE = (
    "The best fit minimises the mean loss of single runs, and so also prefers parameters whose runs vary little from "
    "seed to seed; it is not an estimate of the true values and the ranges are no confidence intervals. An interval "
    "comes from hc.Posterior (an emulated likelihood) or hc.ParticleMCMC."
)
ENDED = {
    "budget": "its budget of rounds was used",
    "no improvement": "there was no further improvement",
    "satisfactory": "the loss that was called satisfactory had surely been reached",
}
_LISTED = 6  # parameters or targets in a list; of more their number is told
_NAMED = 3  # parameters that a sentence names; the table has all
_LOSSES = {
    "rss": "sum of squares",
    "log_rss": "sum of squared log ratios",
    "sqrt_rss": "sum of squares of roots",
    "binomial": "binomial, minus log likelihood",
    "poisson_deviance": "Poisson deviance",
    "half_poisson_deviance": "half Poisson deviance",
    "negative_binomial": "negative binomial deviance",
    "gaussian": "Gaussian, half the squared residuals",
    "log_gaussian": "Gaussian of logarithms, minus log likelihood",
}


def index_with_interval(index: float, low: float, high: float) -> str:
    """A Sobol index with that part of its interval in which an index can lie.

    Examples
    --------
    >>> from hetcal.report.words import index_with_interval
    >>> index_with_interval(0.68, -3.9, 5.2), index_with_interval(0.2, 0.05, 0.35)
    ('0.68 (0.00 to 1.00)', '0.20 (0.05 to 0.35)')
    """
    low, high = (min(max(end, 0.0), 1.0) for end in (low, high))
    return f"{index:.2f} ({low:.2f} to {high:.2f})"


def number(value: float, digits: int = 3) -> str:
    """A number with so many significant digits, without an exponent where a reader can do without.

    Examples
    --------
    >>> from hetcal.report.words import number
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
    >>> from hetcal.report.words import with_error
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


def capital(text: str) -> str:
    """A text with a capital letter at its start."""
    return text[:1].upper() + text[1:]


def is_logarithmic(parameter: Parameter) -> bool:
    """Whether a parameter is seen on a logarithmic axis: where its prior is log-uniform."""
    return parameter.prior.dist.name in ("loguniform", "reciprocal")


def value_of(parameter: Parameter, value: float, interval: float = math.inf) -> str:
    """A parameter's value, to a thousandth of its prior's width, or a hundredth of an interval's where finer."""
    width = float(np.ptp(parameter.prior.ppf([0.005, 0.995])))
    if 0 < interval < 0.02 * (abs(value) if is_logarithmic(parameter) else width):
        return rounded(value, interval)
    if is_logarithmic(parameter):
        return number(value)
    return f"{value:,.{max(0, 2 - math.floor(math.log10(width / 2)))}f}"


def quantity(parameter: Parameter, value: float, interval: float = math.inf) -> str:
    """A parameter's value with its unit."""
    return f"{value_of(parameter, value, interval)} {parameter.unit}".strip()


def called(parameter: Parameter) -> str:
    """What a sentence calls a parameter."""
    return f"{parameter.label} ({parameter.name})" if parameter.label else parameter.name


def data_of(target: Any) -> str:
    """What a sentence calls the data of a target."""
    return target.label or target.name


def section(name: str) -> str:
    """What a sentence calls a section on the search."""
    return f"section “{SECTIONS[name]}”"


def percent(share: float) -> str:
    """A share in per cent, with two digits.

    Examples
    --------
    >>> from hetcal.report.words import percent
    >>> percent(0.1423), percent(0.0)
    ('14 %', 'less than 0.01 %')
    """
    return f"{number(100 * share, 2)} %" if share >= 1e-4 else "less than 0.01 %"


def loss_title(findings: Findings) -> str:
    """What the total loss is, for axes and captions."""
    counted = [t for t in findings.result.problem.run_targets if t.weight > 0]
    if len(counted) == 1:
        return f"loss of {data_of(counted[0])} ({loss_name(counted[0])})"
    return f"total loss (weighted sum of {len(counted)} targets)"


def loss_name(target: Any) -> str:
    """A target's family of losses in words."""
    return _LOSSES[target.loss]


def emulated_as(emulator: Any) -> str:
    """The scale on which an emulator sees its loss y."""
    text = str(as_transform(emulator.transform))
    return "y itself" if text == "none" else text


def answer(findings: Findings, alone: bool = True) -> list[str]:
    """What fits best; where no posterior says more, also what is not ruled out yet and what the model misses."""
    return [_best(findings), _left(findings), _missed(findings)] if alone else [_best(findings)]


def _best(findings: Findings) -> str:
    space, best = findings.result.problem.space, findings.result.best
    named = _in_order(findings)
    values = [f"{called(space[n])} = {quantity(space[n], best.theta[n])}" for n in named]
    if space.dimension > len(named):
        values.append(f"{space.dimension - len(named)} more (table below)")
    text = (
        f"The model fits best at {listed(values)}, where its mean loss is {with_error(best.loss, best.loss_se)} over "
        f"{best.replicates} fresh runs (± is one standard error)"
    )
    if not math.isfinite(best.noise_floor):
        return text + "."
    chance = f"the {number(best.noise_floor)} that chance alone would cost if the model were right (the noise floor)"
    gap = with_error(abs(best.loss - best.noise_floor), findings.gap_se)
    where = against_floor(findings)
    if where == "near":
        return f"{text}, which cannot be told from {chance}; the difference is {gap}."
    if where == "above":
        return f"{text}, by {gap} above {chance}, so it does not reproduce the data fully."
    return (
        f"{text}, by {gap} below the {number(best.noise_floor)} that the model's own runs lose against each other (the "
        "noise floor): parameters whose runs vary much raise that floor, so this alone is no proof of a good fit."
    )


def against_floor(findings: Findings) -> str:
    """Where the winner's loss lies by two standard errors: "above" its noise floor, "near" or "below" it."""
    gap = findings.result.best.loss - findings.result.best.noise_floor
    if abs(gap) <= 2 * findings.gap_se:
        return "near"
    return "above" if gap > 0 else "below"


def _in_order(findings: Findings) -> list[str]:
    """The most sensitive parameters, in the order of the space; all where they are few."""
    space = findings.result.problem.space
    named = space.names if space.dimension <= 4 else findings.ranked[:_NAMED]
    return [name for name in space.names if name in named]


def not_identified(findings: Findings) -> list[str]:
    """Parameters whose range spans nearly all of the prior, or whose ties lie half of it apart."""
    result, space = findings.result, findings.result.problem.space
    sets = space.to_unit(np.vstack([space.array(theta) for theta in (result.best.theta, *result.best.ties)]))
    apart = np.ptp(sets, axis=0) > 0.5
    wide = result.ranges.table["share"].to_numpy() > 0.9
    return [name for name, unclear in zip(space.names, apart | wide, strict=True) if unclear]


def _left(findings: Findings) -> str:
    space, ranges = findings.result.problem.space, findings.result.ranges
    table = ranges.table.set_index("parameter")
    unclear = not_identified(findings)
    spans = [
        f"{n} from {value_of(space[n], table.loc[n, 'low'])} to {quantity(space[n], table.loc[n, 'high'])}"
        for n in _in_order(findings)
        if table.loc[n, "share"] <= 0.9
    ]
    whole = [n for n in unclear if table.loc[n, "share"] > 0.9]
    if whole:
        alone = "each parameter alone" if len(whole) == space.dimension else f"{_few(whole, space)} alone"
        spans.append(
            f"{alone} still {'spans' if len(whole) in (1, space.dimension) else 'span'} nearly all of the prior"
        )
    start = "Not ruled out yet: "
    if unclear:
        start = f"These data and runs do not identify {_few(unclear, space)}; not ruled out yet: "
    left = f"{'jointly ' if space.dimension > 1 else ''}{percent(ranges.volume)} of the prior"
    return (
        f"{start}{left}; {listed(spans)}. "
        "This is what the runs so far leave to be checked and carries no probability."
    )


def _few(names: list[str], space: Space) -> str:
    """Parameters by name, or how many they are where a reader would not read the list."""
    if len(names) <= _LISTED:
        return listed(names)
    return f"{len(names)} of {space.dimension} parameters (table below)"


def _missed(findings: Findings) -> str:
    parts = []
    for check in findings.checks:
        if check.target.weight > 0 and check.outside.any():
            count = int(check.outside.sum())
            single = check.outside.size == 1
            few = f" ({missed_places(check)})" if count <= 6 and not single else ""
            name = data_of(check.target)
            parts.append(name if single else f"{count} of {check.outside.size} data points of {name}{few}")
    if len(parts) > _LISTED:
        missed = [
            check.outside for check in findings.checks if check.target.weight > 0 and check.outside.any()
        ]
        counts = sum(int(outside.sum()) for outside in missed), sum(outside.size for outside in missed)
        parts = [f"{counts[0]} of {counts[1]} data points of {len(missed)} targets (table below)"]
    matters = [f"{name} ({index})" for name, index in _most_sensitive(findings)]
    drives = f"the loss depends most on {listed(matters)} (total sensitivity, at most 1)"
    if parts:
        return (
            f"The model does not reproduce {listed(parts)}: there the data lie outside of what 90 % of its runs at the "
            f"best fit give; {drives}."
        )
    if not any(len(check.simulated) for check in findings.checks):
        return f"No fresh run gave every output, so data and model could not be compared; {drives}."
    return f"Every data point lies within the band that holds 90 % of the runs at the best fit; {drives}."


def missed_places(check: Check) -> str:
    """The data outside of the 90 % band, as a reader calls them: "day 3", "days 0, 11 and 12"."""
    where = [", ".join(str(i) for i in index) for index in np.argwhere(check.outside)]
    if check.outside.ndim > 1:
        where = [f"({place})" for place in where]
    return f"{check.axis}{'' if len(where) == 1 else 's'} {listed(where)}"


def _most_sensitive(findings: Findings) -> list[tuple[str, str]]:
    total = findings.sobol.table.set_index("parameter")["total"]
    return [(name, f"{total[name]:.2f}") for name in findings.ranked[:2]]


def optimism(findings: Findings) -> str:
    """What the search believed of the best fit, beside what fresh runs gave."""
    best = findings.result.best
    side = "better" if best.optimism > 0 else "worse"
    return (
        f"At the best fit the search had believed a loss of {number(best.believed)}, {number(abs(best.optimism))} "
        f"{side} than the {with_error(best.loss, best.loss_se)} of its fresh runs (this difference is its optimism)."
    )


def convergence_of(emulator: Any) -> str:
    """How the optimisation behind an emulator ended."""
    message = emulator.state.message
    if "CONVERGENCE" in message:
        return "converged"
    if message == "NEW_X" or "ITERATIONS" in message.upper():
        return "stopped at the limit of iterations, most often with the noise model still gaining a little"
    if message == "updated" or "All hyperparameters given" in message:
        return "needed no optimisation: its hyperparameters were given"
    return f"failed: {message}"
