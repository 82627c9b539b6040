"""The posterior from emulated outputs: against exact posteriors, coverage, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import hetcal as hc
from hetcal.calibrate.outside import outside_of_runs
from hetcal.calibrate.posterior import Posterior
from hetcal.calibrate.sampler import sample_posterior
from hetcal.calibrate.summaries import _evenly, learn_summaries
from hetcal.designs import sobol_points
from hetcal.observation import GaussianObservation, PoissonObservation
from hetcal.simulators import simulator

pytestmark = pytest.mark.filterwarnings("ignore::hetcal.emulators.FitWarning")

SD = 0.15


@simulator(parameters=["a", "b", "idle"], outputs={"y": (6,), "flat": ()}, version="1")
def line(theta, seed):
    rng = np.random.default_rng(seed)
    return {"y": theta["a"] + theta["b"] * np.arange(6) / 5 + rng.normal(0, SD, 6), "flat": 1.0}


SPACE = hc.Space([hc.Parameter(name, hc.uniform(0, 1)) for name in ("a", "b", "idle")])
OBSERVED = np.array([0.42, 0.50, 0.47, 0.71, 0.74, 0.83])


# The noise of the linear model is constant, and the constant model is fitted in no time.
CONSTANT = hc.HetGP(noise="homoskedastic")


def problem(**options):
    options = {"observed": OBSERVED, "loss": "gaussian", "sd": SD} | options
    return hc.Problem(SPACE, line, [hc.Target("y", **options)])


@pytest.fixture(scope="module")
def ledger():
    ledger = hc.Ledger()
    design = hc.designs.sobol(SPACE, 80, seed=3)
    hc.run_ensemble(problem(), design, replicates=6, ledger=ledger, seed=3)
    return ledger


@pytest.fixture(scope="module")
def result(r, ledger):
    return Posterior(problem(), emulator=CONSTANT).run(ledger, seed=1)


@pytest.fixture(scope="session")
def r(needs_r):
    return needs_r


def exact_intervals(level):
    """Central intervals of a and b under the model's own likelihood, on a fine grid."""
    grid = np.linspace(0, 1, 401)
    a, b = np.meshgrid(grid, grid, indexing="ij")
    mean = a[..., None] + b[..., None] * np.arange(6) / 5
    density = np.exp(stats.norm.logpdf(OBSERVED, mean, SD).sum(axis=2))
    ends = []
    for axis in (1, 0):
        cumulative = np.cumsum(density.sum(axis=axis)) / density.sum()
        ends.append(np.interp([(1 - level) / 2, 0.5, (1 + level) / 2], cumulative, grid))
    return np.array(ends)


def test_intervals_of_a_linear_model_are_the_exact_ones(result):
    exact = exact_intervals(0.9)
    width = exact[:, 2] - exact[:, 0]
    found = result.intervals(0.9).set_index("parameter").loc[["a", "b"], ["low", "median", "high"]].to_numpy()
    # The summaries are sufficient here; what is left is the error of emulators from 480 runs.
    assert np.abs(found - exact).max() < 0.15 * width.max()


def test_a_parameter_that_does_nothing_keeps_its_prior_and_is_named(result):
    assert result.likelihood.summaries.dropped == ("idle",)
    low, high = result.intervals(0.9).set_index("parameter").loc["idle", ["low", "high"]]
    assert abs(low - 0.05) < 0.03 and abs(high - 0.95) < 0.03


def test_the_answer_is_the_same_again_and_simulates_nothing(result, ledger):
    runs = len(ledger.runs(line))
    again = Posterior(problem(), emulator=CONSTANT).run(ledger, seed=1)
    assert again.samples.equals(result.samples) and len(ledger.runs(line)) == runs


def test_discrepancy_and_observation_error_widen_the_interval(r, ledger):
    def width(**options):
        table = (
            Posterior(problem(), emulator=CONSTANT, **options)
            .run(ledger, seed=1)
            .intervals(0.9)
            .set_index("parameter")
        )
        return table.loc["a", "high"] - table.loc["a", "low"]

    plain = width()
    # Six data with variance 0.15^2 + 0.3^2 tell sqrt(5) times less, which the prior's edges cut to less.
    assert width(discrepancy=0.3) > 1.3 * plain
    assert width(observation={"y": GaussianObservation(0.3)}) > 1.3 * plain


def test_runs_that_share_seeds_between_locations_are_left_out(r, ledger):
    more = hc.Ledger()
    more.add_runs(frame_of(ledger), line)
    hc.run_ensemble(problem(), hc.designs.sobol(SPACE, 8, seed=9), ledger=more, seeds=range(5))
    method = Posterior(problem(), emulator=CONSTANT)
    todo = method.ask(more, seed=1)
    taken = more.asks(method.study_name(1), line)
    assert set(taken["purpose"]) == {"given"} | set(todo["purpose"])
    assert sum(map(len, taken.loc[taken["purpose"] == "given", "seeds"])) == 480


def frame_of(ledger):
    """The ensemble's 480 runs, without those that studies asked for."""
    rows = (ledger.runs(line)["run_id"].isin(ledger.given(line)["run_id"])).to_numpy()
    frame = ledger.runs(line).loc[rows, ["a", "b", "idle", "seed"]].copy()
    frame["flat"] = 1.0
    for i, column in enumerate(ledger.outputs(line, "y")[rows].T):
        frame[f"y.{i}"] = column
    return frame


def test_flu_intervals_cover_what_they_claim(r):
    """200 data sets from the prior that took off; binomial bounds at a false-alarm rate of 1e-3 over the six counts."""
    space = hc.Space(
        [
            hc.Parameter("R0", hc.uniform(1.2, 8.0)),
            hc.Parameter("infectious_days", hc.uniform(0.5, 6.0)),
            hc.Parameter("I0", hc.log_uniform(1, 12)),
        ]
    )
    flu = hc.data.flu1978()
    model = hc.simulators.StochasticSIR(population=763, days=14)
    study = hc.Problem(space, model, [hc.Target("in_bed", observed=flu["in_bed"])])
    posterior = Posterior(
        study,
        observation={"in_bed": PoissonObservation()},
        alive=lambda data: data["in_bed"].sum(axis=1) > 60,
        initial=100,
        replicates=4,
        rounds=0,
        predictive=0,
    )
    likelihood = posterior.run(seed=2).likelihood
    rng = np.random.default_rng(5)
    truth = rng.random((300, 3))
    data = rng.poisson(np.maximum(model.batch(space.from_unit(truth), np.arange(300))["in_bed"], 0.5)).astype(
        float
    )
    alive = data.sum(axis=1) > 60
    truth, data = truth[alive][:200], data[alive][:200]
    grid = sobol_points(3, 2**13, rng)
    logs = likelihood.log_likelihood(grid, likelihood.summaries({"in_bed": data}))
    weight = np.exp(logs - logs.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)
    rank = np.stack([(weight * (grid[:, k] < truth[:, k : k + 1])).sum(axis=1) for k in range(3)], axis=1)
    for level in (0.5, 0.9):
        inside = (np.abs(rank - 0.5) < level / 2).sum(axis=0)
        low, high = stats.binom.ppf([1e-3 / 12, 1 - 1e-3 / 12], len(truth), level)
        assert np.all((inside >= low) & (inside <= high)), (level, inside)
    # A posterior mean is much better than the prior's.
    assert np.all(np.sqrt(((weight @ grid - truth) ** 2).mean(axis=0)) < 0.7 * truth.std(axis=0))


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"discrepancy": -0.1}, "discrepancy is a standard deviation of at least 0 .*, not -0.1"),
        ({"discrepancy": np.nan}, "discrepancy is a standard deviation .* not nan"),
        ({"discrepancy": np.inf}, "discrepancy is a standard deviation .* not inf"),
        ({"discrepancy": "0.1"}, "discrepancy is a standard deviation .* not '0.1'"),
        ({"discrepancy": True}, "discrepancy is a standard deviation .* not True"),
        ({"rounds": -1}, "rounds is a whole number of at least 0, not -1"),
        ({"batch": 1}, "batch is a whole number of at least 2, not 1"),
        ({"observation": {"z": GaussianObservation(1)}}, "observation models for z, which are no targets"),
        ({"observation": {"y": "poisson"}}, "observation is {'y': 'poisson'}: give a dict of target to how"),
        ({"observation": GaussianObservation(1)}, "observation is GaussianObservation.*: give a dict"),
    ],
)
def test_improper_arguments_are_refused(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        Posterior(problem(), **options)


def test_dead_runs_and_dead_data_are_told(ledger):
    with pytest.raises(ValueError, match="all 480 runs are dead by the rule given"):
        beyond = problem(observed=np.full(6, 50.0))
        Posterior(beyond, alive=lambda data: data["y"].sum(axis=1) > 100).run(ledger)


def test_observed_data_must_be_alive(r, ledger):
    with pytest.raises(ValueError, match="the observed data are not alive by the rule given"):
        rule = {"alive": lambda data: data["y"].sum(axis=1) > 1, "emulator": CONSTANT}
        Posterior(problem(observed=np.zeros(6)), **rule).run(ledger)


@pytest.mark.parametrize(
    "rule, kind, sentence",
    [
        (
            lambda data: data["y"].sum(axis=1),
            TypeError,
            "the alive rule gives float64: it must give a bool array",
        ),
        (lambda data: data["y"] > 1, ValueError, r"the alive rule gives shape \(1, 6\) for 1 data sets"),
        (lambda data: True, ValueError, r"the alive rule gives shape \(\) for 1 data sets"),
    ],
)
def test_a_rule_that_gives_something_else_is_refused(ledger, rule, kind, sentence):
    with pytest.raises(kind, match=sentence):
        Posterior(problem(), alive=rule).ask(ledger)


def test_data_that_the_model_cannot_make_are_told_first(result, ledger):
    assert result.outside == ()
    zigzag = problem(observed=[0.9, 0.1, 0.9, 0.1, 0.9, 0.1])
    strange = Posterior(zigzag, emulator=CONSTANT, predictive=0).run(ledger, seed=1)
    assert strange.outside[0].startswith("the data as a whole are unlike any simulated run: none of")
    falling = {"y": (1.4 - 0.8 * np.arange(6) / 5)[None]}
    assert outside_of_runs(result.likelihood, falling)[0].startswith("the data as a whole are unlike any")


def test_data_like_the_simulated_ones_are_rarely_told_to_be_outside(result):
    """The whole-data check is at 0.5 %, the ranges of two summaries together at 2 x 2 / 480: of 300 data sets, more
    than 12 are told with probability below 1e-3."""
    rng = np.random.default_rng(6)
    truth = rng.random((300, 2))
    data = truth[:, :1] + truth[:, 1:] * np.arange(6) / 5 + rng.normal(0, SD, (300, 6))
    told = [bool(outside_of_runs(result.likelihood, {"y": y[None]})) for y in data]
    assert sum(told) <= 12


def test_constant_data_are_named_and_redundant_summaries_left_out(r):
    @simulator(parameters=["a", "b", "c"], outputs={"y": (2,), "flat": ()}, version="1")
    def product(theta, seed):
        y = 4 * theta["a"] * theta["b"] + np.random.default_rng(seed).normal(0, 0.1)
        return {"y": np.array([y, 7.0]), "flat": 1.0}

    space = hc.Space([hc.Parameter(name, hc.uniform(0.5, 1)) for name in ("a", "b", "c")])
    targets = [
        hc.Target("y", observed=[2.1, 7.0], loss="gaussian", sd=0.1),
        hc.Target("flat", observed=[2.0], loss="gaussian", sd=1),
    ]
    method = Posterior(
        hc.Problem(space, product, targets),
        emulator=CONSTANT,
        initial=60,
        replicates=4,
        rounds=0,
        predictive=0,
    )
    result = method.run(seed=1)
    summaries = result.likelihood.summaries
    assert summaries.constant == ("y[1]", "flat")
    assert "data that are the same in every run are another number in the data: flat" in result.outside
    assert summaries.dropped == ("c",) and len(summaries.names) == 1 and len(summaries.redundant) == 1
    left, why = next(iter(summaries.redundant.items()))
    assert why.startswith(f"the summary of {left!r} is left out: to 9") and repr(summaries.names[0]) in why
    # Only the product is known, and what is left says that as well as both would.
    a_times_b = 4 * result.samples["a"] * result.samples["b"]
    assert abs(a_times_b.mean() - 2.1) < 0.12 and a_times_b.std() < 0.2


def test_summaries_learned_from_few_runs_tell_of_data_what_they_tell_of_runs():
    """Left-out summaries scatter about the truth as those of fresh data do; in-sample ones scatter less."""
    rng = np.random.default_rng(8)
    target = (hc.Target("y", observed=np.zeros(20), loss="gaussian", sd=1),)

    def make(unit):
        shape = np.linspace(0, 1, 20)
        clean = np.sin(3 * unit[:, :1] * shape) + unit[:, 1:] * shape**2
        return {"y": clean + rng.normal(0, 0.3, (len(unit), 20))}

    unit = np.repeat(rng.random((40, 2)), 2, axis=0)
    data = make(unit)
    learned = learn_summaries(target, data, unit, np.repeat(np.arange(40), 2), ("a", "b"))
    fresh = rng.random((2000, 2))
    honest = np.sqrt(((learned(make(fresh)) - fresh) ** 2).mean(axis=0))
    runs = np.sqrt(((learned(data) - unit) ** 2).mean(axis=0))
    left_out = np.sqrt(((learned.left_out - unit[learned.rows]) ** 2).mean(axis=0))
    # A standard deviation from 80 runs, two a location, has an error of about 10 %.
    assert np.all(np.abs(left_out / honest - 1) < 0.3) and np.all(runs < left_out)


class Normal:
    """A likelihood that is normal with known moments, in as many dimensions as given."""

    def __init__(self, centre, sd):
        self.centre, self.sd = centre, sd

    def log_likelihood(self, unit, observed):
        return -0.5 * ((unit - self.centre) ** 2 / self.sd**2).sum(axis=1)[None]


@pytest.mark.parametrize("d", [2, 12])
def test_draws_have_the_moments_of_the_posterior_in_few_and_many_dimensions(d):
    space = hc.Space([hc.Parameter(f"x{i}", hc.uniform(0, 1)) for i in range(d)])
    centre, sd = np.linspace(0.4, 0.6, d), np.linspace(0.03, 0.08, d)
    samples, effective = sample_posterior(Normal(centre, sd), space, np.zeros((1, 1)), seed=3)
    assert samples.shape == (4000, d) and 400 <= effective <= 4000
    # Five standard errors of a mean of `effective` draws; a standard deviation has one of 1 / sqrt(2 effective).
    assert np.all(np.abs(samples.mean() - centre) < 5 * sd / np.sqrt(effective))
    assert np.all(np.abs(samples.std() / sd - 1) < 5 / np.sqrt(2 * effective) + 0.02)


def test_summaries_refuse_what_cannot_be_learned():
    rng = np.random.default_rng(0)
    unit = np.repeat(rng.random((40, 3)), 2, axis=0)
    location = np.repeat(np.arange(40), 2)
    with pytest.raises(ValueError, match="every output is the same in all runs"):
        learn_summaries(problem().run_targets, {"y": np.ones((80, 6))}, unit, location, SPACE.names)
    with pytest.raises(
        ValueError, match="3 locations are too few to learn summaries of 3 parameters: run at least 16"
    ):
        learn_summaries(problem().run_targets, {"y": rng.random((6, 6))}, unit[:6], location[:6], SPACE.names)
    with pytest.raises(ValueError, match=r"say nothing about any parameter .*a -?0\.\d"):
        learn_summaries(problem().run_targets, {"y": rng.random((80, 6))}, unit, location, SPACE.names)


def test_a_ledger_without_usable_runs_gets_a_design():
    shared = hc.Ledger()
    hc.run_ensemble(problem(), hc.designs.sobol(SPACE, 4, seed=1), ledger=shared, seeds=[1, 2])
    todo = Posterior(problem(), initial=30, replicates=4).ask(shared)
    assert (todo["purpose"] == "design").sum() == len(todo) == 120


def test_targets_of_weight_0_are_held_out_and_statistics_are_taken(r, ledger):
    def ends(y):
        return y[[0, -1]]

    targets = [
        hc.Target("y", observed=OBSERVED[[0, -1]], statistic=ends, loss="gaussian", sd=SD),
        hc.Target("flat", observed=[1.0], loss="gaussian", sd=1, weight=0),
    ]
    two = hc.Problem(SPACE, line, targets)
    method = Posterior(two, emulator=CONSTANT, predictive=20)
    result = method.run(ledger, seed=1)
    assert [t.name for t in method.held_out] == ["flat"]
    # y0 has mean a, y5 mean a + b: their errors are those of one and of two data.
    b = result.samples["b"].std()
    assert 0.1 < result.samples["a"].std() < 0.2 and 0.14 < b < 0.28
    runs = result.predictive_runs()
    assert runs["outputs"]["y"].shape == (20, 6)
    assert np.array_equal(runs["theta"], result.samples.iloc[:20].to_numpy())
    with pytest.raises(ValueError, match="every target has weight 0"):
        Posterior(hc.Problem(SPACE, line, targets[1:]))


@pytest.mark.parametrize("seed", range(5))
def test_no_location_decides_the_summaries_alone(seed):
    rng = np.random.default_rng(seed)
    count = rng.integers(1, 6, 50)
    count[rng.integers(50)] = 5000
    location = rng.permutation(np.repeat(np.arange(50), count))
    for most in (30, 80, 400):
        rows = _evenly(location, most)
        taken = np.bincount(location[rows], minlength=50)
        assert len(np.unique(rows)) == len(rows) <= most
        # No location has two runs more than another that has runs left, and none more than twenty.
        assert taken.max() <= 20 and np.all((taken >= taken.max() - 1) | (taken == count))
