"""Steps against whole runs: the SIR agrees, steps that forget or err are refused."""

from __future__ import annotations

import numpy as np
import pytest

from hetcal.simulators import StochasticSIR
from hetcal.simulators.stepping import Stepper, check_step, run_steps

FLU = {"R0": 3.6, "infectious_days": 2.2, "I0": 3.4}


class Walk:
    """A stationary autoregression as a user would write it."""

    name, version, parameters, outputs = "walk", "1", ("memory",), {"level": (8,)}

    def initial(self, theta, n, rng):
        return rng.normal(size=(n, 1))

    def observe(self, states):
        return {"level": states[:, 0]}

    def step(self, states, theta, day, rng):
        a = theta["memory"]
        return a * states + np.sqrt(1 - a**2) * rng.normal(size=states.shape), {}

    def __call__(self, theta, seed):
        runs = run_steps(self, theta, 1, np.random.default_rng(seed))
        return {name: days[0] for name, days in runs.items()}


@pytest.mark.parametrize(
    "theta",
    [FLU, {"R0": 1.1, "infectious_days": 1.0, "I0": 1.0}, {"R0": 0.0, "infectious_days": 6.0, "I0": 9}],
)
@pytest.mark.parametrize("seed", range(3))
def test_the_sir_steps_as_it_runs(theta, seed):
    # Nine calls, each wrong once in a million at most.
    school = StochasticSIR(population=763, days=14)
    assert isinstance(school, Stepper)
    check_step(school, theta, seed=seed)


def test_steps_of_the_sir_keep_the_states_they_are_given():
    school, rng = StochasticSIR(population=50, days=3), np.random.default_rng(0)
    states = school.initial(FLU, 20, rng)
    before = states.copy()
    after, _ = school.step(states, FLU, 0, rng)
    assert np.array_equal(states, before)
    assert not np.array_equal(after, before)


def test_steps_of_the_sir_refuse_what_its_runs_refuse():
    school, rng = StochasticSIR(population=50, days=3), np.random.default_rng(0)
    with pytest.raises(ValueError, match="I0 is 51"):
        school.initial(FLU | {"I0": 51}, 2, rng)
    with pytest.raises(ValueError, match="'R0' is missing"):
        school.initial({"infectious_days": 2.0, "I0": 1.0}, 2, rng)


def test_a_users_stepper_agrees():
    check_step(Walk(), {"memory": 0.8})


def test_steps_that_forget_are_refused_though_every_day_looks_right():
    class Forgetful(Walk):
        def step(self, states, theta, day, rng):
            return rng.normal(size=states.shape), {}

        def __call__(self, theta, seed):
            return Walk()(theta, seed)

    with pytest.raises(ValueError, match="steps of simulator 'walk' do not agree .* change of level on day"):
        check_step(Forgetful(), {"memory": 0.8})


def test_steps_with_other_dynamics_are_refused():
    class Faster(StochasticSIR):
        def step(self, states, theta, day, rng):
            return super().step(states, theta | {"R0": 1.1 * theta["R0"]}, day, rng)

    with pytest.raises(ValueError, match="do not agree with its whole runs: .*(in_bed|incidence) on day"):
        check_step(Faster(763, 14), FLU)


def test_a_shift_by_two_fifths_of_a_standard_deviation_is_found():
    class Shifted(Walk):
        def initial(self, theta, n, rng):
            return rng.normal(0.4, 1.0, size=(n, 1))

        def __call__(self, theta, seed):
            return Walk()(theta, seed)

    for seed in range(5):
        with pytest.raises(ValueError, match="level on day 0 has mean 0.*by steps and mean -?0.0"):
            check_step(Shifted(), {"memory": 0.0}, seed=seed)


def test_an_output_that_stands_for_the_day_before_is_refused():
    class Late(StochasticSIR):
        def step(self, states, theta, day, rng):
            after, counted = super().step(states, theta, day, rng)
            return after, {"in_bed": after[:, 1]}

        def observe(self, states):
            return {}

    with pytest.raises(ValueError, match="in_bed on day"):
        check_step(Late(763, 14), FLU)


def test_faults_of_form_are_named():
    class NoStep(Walk):
        step = None

    class Undeclared(Walk):
        def observe(self, states):
            return {"levels": states[:, 0]}

    class Column(Walk):
        def observe(self, states):
            return {"level": states}

    class Silent(Walk):
        def observe(self, states):
            return {}

    with pytest.raises(TypeError, match="'walk' has no method 'step'"):
        check_step(NoStep(), {"memory": 0.8})
    with pytest.raises(ValueError, match="give 'levels', declared with shape None"):
        check_step(Undeclared(), {"memory": 0.8})
    with pytest.raises(ValueError, match=r"'level' of day 0 has shape \(5, 1\) for 5 particles"):
        run_steps(Column(), {"memory": 0.8}, 5, np.random.default_rng(0))
    with pytest.raises(ValueError, match="neither observe nor step gives an output"):
        check_step(Silent(), {"memory": 0.8})


def test_whole_runs_that_fail_are_told():
    class Broken(Walk):
        def __call__(self, theta, seed):
            raise RuntimeError("no licence")

    with pytest.raises(ValueError, match="2000 of 2000 whole runs failed .*no licence"):
        check_step(Broken(), {"memory": 0.8})
