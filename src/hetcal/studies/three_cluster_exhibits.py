"""What study three_cluster shows beside its answer, from what can be known at all to where measles arrives."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from hetcal.studies.three_cluster_exhibits_mixing import k_and_c, reproduction
from hetcal.studies.three_cluster_exhibits_models import late
from hetcal.studies.three_cluster_exhibits_noise import noise_floor
from hetcal.studies.three_cluster_exhibits_shared import SIZES, Sizes
from hetcal.studies.three_cluster_exhibits_stages import stages
from hetcal.studies.three_cluster_exhibits_sweeps import one_by_one, two_at_once
from hetcal.studies.three_cluster_exhibits_validation import arrivals, attack_rates, courses, validation

if TYPE_CHECKING:
    from hetcal.report import Exhibit
    from hetcal.studies.answers import Answers


def exhibits(budget: str = "quick") -> Callable[[Answers], list[Exhibit]]:
    """The exhibits of the three-cluster chain, for `Study`.

    Parameters
    ----------
    budget : {"quick", "full"}
        Quick: 1,450 runs. Full: 7,100.

    Returns
    -------
    callable
        Of the study's answers. Without a posterior, those that need none.

    Raises
    ------
    ValueError
        For another budget.

    Examples
    --------
    >>> from hetcal.studies.three_cluster_exhibits import exhibits
    >>> exhibits("all")
    Traceback (most recent call last):
    ValueError: unknown budget 'all': choose one of quick, full
    """
    if budget not in SIZES:
        raise ValueError(f"unknown budget {budget!r}: choose one of {', '.join(SIZES)}")
    return partial(shown, sizes=SIZES[budget])


def shown(answers: Answers, sizes: Sizes) -> list[Exhibit]:
    """The exhibits, in the order in which they are read.

    Parameters
    ----------
    answers : Answers
    sizes : Sizes
        How many runs they take.

    Returns
    -------
    list of Exhibit
    """
    first = [make(answers, sizes) for make in (one_by_one, two_at_once, noise_floor, late)]
    if answers.posterior is None:
        return [*first, stages(answers)]
    found = validation(answers, sizes.draws)
    after = [make(answers, sizes) for make in (k_and_c, reproduction)]
    return [*first, stages(answers), *after, courses(found), attack_rates(found), arrivals(found)]
