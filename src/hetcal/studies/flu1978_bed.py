"""The influenza of an English boarding school, 1978: boys in bed and convalescent, and in bed is not infectious."""

from __future__ import annotations

from typing import Any

from hetcal.calibrate import Posterior
from hetcal.data import flu1978
from hetcal.parameters import Parameter, Space, log_uniform, uniform
from hetcal.problem import Problem
from hetcal.simulators import BoardingSchool
from hetcal.studies.flu1978 import OBSERVATION, SCENARIOS, took_off
from hetcal.studies.study import Study
from hetcal.targets import Target

BUDGETS: dict[str, dict[str, Any]] = {
    "quick": {"initial": 200, "replicates": 4, "batch": 200, "rounds": 4},
    "full": {"initial": 300, "replicates": 10, "batch": 250, "rounds": 12},
}

STORY = """
In January 1978 influenza went through an English boarding school. Of its 763 boys 512 fell ill; the data are the boys
confined to bed and the boys convalescent on each of 14 days.

Boys in bed infect nobody. In this model a boy who is infected is latent first, then infectious and about; then he
falls ill and goes to bed, is convalescent and well again, or is well without having been in bed. Unknown are R0, the
mean of each time, the share that falls ill and the number infectious on the first day. The number of boys that fell
ill is not used: it is held out, to see whether the model knows it.

The exact posterior, by a particle filter with negative binomial counts of dispersion 20, has boys infectious and
about for 0.8 days (standard deviation 0.3), latent for 0.8 (0.3), in bed for 3.0 (0.3) and convalescent for 1.6 (0.2),
and 76 % (9) of the infected falling ill. R0 is 5.6 (1.9): with two short times that the curve does not tell apart it
is far less certain than the 3.9 (0.5) that an SIR model finds from the boys in bed alone.

The number ill that this model expects is 570, with 90 % between 480 and 687: the 512 that were held out lie inside. The
SIR model infects 744 of the boys, and 3.0 days in bed for each ill boy are, to it, 2.0 days for more boys. Given the
first ten days, it makes the boys in bed of the last four some twenty times less probable than this model does.

The number of stages in bed and the start were chosen with all days in sight, so its scores on held-out days flatter
this model a little.
"""

LOOK_AT = (
    "The number of boys that fell ill, which was held out: 512.",
    "Convalescent boys from day 6 on: whether they rise and fall when the boys in bed get up.",
    "R0 beside the latent and the infectious time: a longer time and a larger R0 give the same growth.",
)


def space() -> Space:
    """Parameters with their priors.

    Influenza is latent for 1 to 2 days in most volunteers and shed for some days, but boys went to bed within hours
    of the first symptoms: so both times are wide, and may be short. R0 reaches higher than in the study of the SIR,
    since the same growth needs more of it where infection is latent first.
    """
    return Space(
        [
            Parameter("R0", uniform(1.2, 10.0), label="basic reproduction number"),
            Parameter("latent_days", uniform(0.2, 3.0), unit="day", label="mean latent time"),
            Parameter(
                "infectious_days", uniform(0.2, 4.0), unit="day", label="mean infectious time before bed"
            ),
            Parameter("ill_fraction", uniform(0.3, 1.0), label="share of the infected that fall ill"),
            Parameter("bed_days", uniform(1.0, 6.0), unit="day", label="mean time in bed"),
            Parameter("convalescent_days", uniform(0.5, 5.0), unit="day", label="mean time of convalescence"),
            Parameter("I0", log_uniform(0.3, 12.0), label="infectious on day 0"),
        ]
    )


def study(budget: str = "quick") -> Study:
    """The study of the 1978 boarding-school influenza with beds apart from infection.

    Use it beside ``flu1978``: the same outbreak by a model that can reproduce both series and the number ill.

    Parameters
    ----------
    budget : {"quick", "full"}
        Quick: at most 1,600 runs to learn from, a quarter of an hour. Full: 6,000.

    Returns
    -------
    Study

    Raises
    ------
    ValueError
        For another budget.

    References
    ----------
    Influenza in a boarding school. *British Medical Journal* 1978;1:587. Carrat et al. (2008), American Journal of
    Epidemiology 167, 775, for the times of influenza in volunteers.

    Examples
    --------
    >>> from hetcal.studies import flu1978_bed
    >>> [target.name for target in flu1978_bed.study("quick").method.targets]
    ['in_bed', 'convalescent']
    """
    if budget not in BUDGETS:
        raise ValueError(f"unknown budget {budget!r}: choose one of {', '.join(BUDGETS)}")
    flu = flu1978()
    problem = Problem(
        space(),
        simulator=BoardingSchool(population=flu.attrs["population"], days=len(flu)),
        targets=[
            Target("in_bed", observed=flu["in_bed"], label="boys in bed"),
            Target("convalescent", observed=flu["convalescent"], label="convalescent boys"),
            # Not fitted, only checked.
            Target("total_ill", observed=flu.attrs["ill"], weight=0, label="boys that fell ill"),
        ],
    )
    observation: dict[str, Any] = {"in_bed": OBSERVATION, "convalescent": OBSERVATION}
    return Study(
        name="flu1978_bed",
        problem=problem,
        method=Posterior(problem, observation=observation, alive=took_off, **BUDGETS[budget]),
        title="Influenza in an English boarding school, 1978: in bed is not infectious",
        source=flu.attrs["source"],
        story=STORY,
        look_at=LOOK_AT,
        scenarios=SCENARIOS,
        outcome="total_ill",
        exact=True,
    )
