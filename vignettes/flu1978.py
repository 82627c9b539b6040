# %% [markdown]
# # A school, 763 boys, and the price of chance
#
# In January 1978 influenza went through an English boarding school. We calibrate a stochastic epidemic
# model to it, from the simulator to the report, and meet three things on the way: chance makes most of the
# misfit; a loss of single runs pushes parameters to where runs are alike; and a model can come close to the
# data and be wrong about the outbreak.
#
# Run it with `python vignettes/flu1978.py`: about a minute. It is a plain script, without a main guard, and
# yet simulates in two worker processes.

# %%
import os
from pathlib import Path

import matplotlib
import numpy as np
from scipy.integrate import solve_ivp
from scipy.optimize import minimize

import hetcal as hc

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

# Where figures and report go, and how many rounds the calibration has (the tests make do with one).
FOLDER = Path(os.environ.get("HETCAL_VIGNETTE_FOLDER", "results/vignette-flu1978"))
ROUNDS = int(os.environ.get("HETCAL_VIGNETTE_ROUNDS", "12"))

BLACK, BLUE, ORANGE, GREEN = "#000000", "#0072B2", "#D55E00", "#009E73"  # told apart by colour-blind readers
FOLDER.mkdir(parents=True, exist_ok=True)


def draw(name, xlabel, ylabel):
    """Label the figure, write it and close it."""
    plt.xlabel(xlabel)
    plt.ylabel(ylabel)
    plt.legend(frameon=False)
    plt.tight_layout()
    plt.savefig(FOLDER / f"{name}.png", dpi=150)
    plt.close()


# %% [markdown]
# ## The data
# Boys in bed on each of 14 days. They add up to 1,559 bed-days, which is not the number of boys that fell
# ill: 512 did, so each of them was in bed for three days.

# %%
flu = hc.data.flu1978()
observed = flu["in_bed"].to_numpy(dtype=float)
print(flu.attrs["source"])
print(
    f"{observed.sum():.0f} bed-days, {flu.attrs['ill']} ill boys: {observed.sum() / flu.attrs['ill']:.1f} days each"
)

# %% [markdown]
# ## The simulator
# `StochasticSIR` moves the boys from susceptible over infectious to recovered in small steps of a day, by
# chance. It is a pure function of the parameters and a seed. `batch` runs many at once.
#
# At R0 3.7, 2.2 infectious days and 3 boys on the first day, as deterministic fits have it, the runs differ
# widely.

# %%
school = hc.simulators.StochasticSIR(population=763, days=len(flu))


def simulate(R0, infectious_days, I0, runs, first_seed=0):
    """Outputs of runs with seeds of their own at one parameter set."""
    theta = np.tile([R0, infectious_days, I0], (runs, 1))
    return school.batch(theta, np.arange(first_seed, first_seed + runs, dtype=np.int64))


outputs = simulate(3.7, 2.2, 3.0, runs=2_000)
for k, run in enumerate(outputs["in_bed"][:30]):
    plt.plot(flu["day"], run, color=BLUE, alpha=0.3, lw=1, label="single runs" if k == 0 else None)
plt.plot(flu["day"], outputs["in_bed"].mean(axis=0), color=BLUE, lw=3, label="mean of 2,000 runs")
plt.plot(flu["day"], observed, "o", color=BLACK, label="boys in bed, 1978")
draw("single-runs", "days since 22 January 1978", "boys in bed")

died_out = outputs["total_infected"] < 30
peaks = outputs["in_bed"][~died_out].argmax(axis=1)
print(
    f"{died_out.mean():.1%} of the outbreaks die out; the others peak on day {peaks.mean():.1f} ± {peaks.std():.1f}"
)

# %% [markdown]
# ## Without chance
# The same model as a differential equation has one curve a parameter set. Two losses, two fits: both near
# R0 3.9 with a little more than 2 infectious days and 1 to 2 boys on the first day.


# %%
def curve(log_theta):
    """Boys in bed of the deterministic model."""
    R0, infectious_days, I0 = np.exp(log_theta)

    def change(_, state):
        new = R0 / infectious_days * state[0] * state[1] / 763
        return -new, new - state[1] / infectious_days

    days = np.arange(float(len(flu)))
    return solve_ivp(change, (0, days[-1]), (763 - I0, I0), t_eval=days, rtol=1e-8, atol=1e-8).y[1]


def poisson_deviance(mean):
    return 2 * np.sum(mean - observed + observed * np.log(observed / mean))


def least_squares(mean):
    return np.sum((mean - observed) ** 2)


deterministic = {}
for loss in (least_squares, poisson_deviance):
    found = minimize(lambda x: loss(curve(x)), np.log([3.5, 2.0, 2.0]), method="Nelder-Mead")
    deterministic[loss.__name__] = np.exp(found.x)
    print(
        f"{loss.__name__:>16}: R0 {np.exp(found.x[0]):.2f}, {np.exp(found.x[1]):.2f} days, I0 {np.exp(found.x[2]):.1f}"
    )

# %% [markdown]
# ## What chance does to a loss
# Now score single runs: the mean over runs of the deviance between a run and the data. It is not the
# deviance of the mean run. By Jensen's inequality it is larger, and the difference is how much runs differ
# from each other. Start with 6 boys in place of 3, and hardly any outbreak dies out and all peak at nearly
# the same time. The mean run comes no closer to the data by that, it is closest from 4 boys; but the mean
# loss of single runs falls to a third.

# %%
target = hc.Target("in_bed", observed=flu["in_bed"], loss="poisson_deviance", label="boys in bed")
starts = np.array([1.5, 2, 3, 4, 5, 6, 7, 8, 10, 12])
of_runs, of_mean = [], []
for I0 in starts:
    in_bed = simulate(3.7, 2.2, I0, runs=2_000)["in_bed"]
    of_runs.append(target.losses(in_bed).mean())
    of_mean.append(target.losses(in_bed.mean(axis=0, keepdims=True))[0])
plt.semilogy(starts, of_runs, "o-", color=ORANGE, label="mean loss of single runs")
plt.semilogy(starts, of_mean, "s-", color=GREEN, label="loss of the mean run")
draw("loss-and-chance", "infectious boys on the first day (R0 3.7, 2.2 days)", "Poisson deviance")
for I0, single, mean in zip(starts, of_runs, of_mean):
    print(f"from {I0:4.1f} boys: mean loss of single runs {single:4.0f}, loss of the mean run {mean:4.0f}")

# %% [markdown]
# ## The calibration
# Say what is unknown, what simulates, and what is compared. Then a first design, rounds that choose where
# the loss could still be low, and a winner that is re-evaluated on fresh runs. Everything goes into the
# ledger: stop the script and run it again, and it goes on.

# %%
space = hc.Space(
    [
        hc.Parameter("R0", hc.uniform(1.2, 8.0), label="basic reproduction number"),
        hc.Parameter("infectious_days", hc.uniform(0.5, 6.0), unit="day"),
        hc.Parameter("I0", hc.log_uniform(1, 12), label="infectious on day 0"),
    ]
)
problem = hc.Problem(space, simulator=school, targets=[target])
ledger = hc.Ledger(FOLDER / "ledger.sqlite")
calibration = hc.BayesianCalibration(
    problem,
    initial=60,
    replicates=10,
    batch=8,
    rounds=ROUNDS,
    finalist_replicates=500,
    winner_replicates=4_000,
)
result = calibration.run(ledger, seed=1, workers=2)
print(result)

# %% [markdown]
# R0 and the infectious days are close to the deterministic ones. I0 is well above theirs, for the reason of
# the figure before: this loss likes runs that are alike. What it leaves is *not ruled out yet*, which is no
# interval.
#
# The emulator answers what the loss depends on, over the whole prior, without another run. A dummy
# parameter that the emulator does not know shows what is indistinguishable from zero.

# %%
sobol = hc.sobol(result.emulator, space, n=4_096, seed=1)
print(sobol.table.round(3).to_string(index=False))

# %% [markdown]
# ## What the winner does not reproduce
# The ensemble at the winner comes close to the curve. But nearly every boy of the model is infected, where
# 512 of 763 fell ill, and each for two days, where a boy lay in bed for three. More boys, each for a
# shorter time, make up the same bed-days: the model reproduces the curve with another outbreak behind it.
# In bed is not infectious.

# %%
winner = result.winner_outputs()
low, high = np.quantile(winner["in_bed"], [0.05, 0.95], axis=0)
plt.fill_between(flu["day"], low, high, color=BLUE, alpha=0.2, label="90 % of runs at the winner")
plt.plot(flu["day"], winner["in_bed"].mean(axis=0), color=BLUE, lw=2, label="their mean")
plt.plot(
    flu["day"],
    curve(np.log(deterministic["least_squares"])),
    "--",
    color=ORANGE,
    label="least squares, no chance",
)
plt.plot(flu["day"], observed, "o", color=BLACK, label="boys in bed, 1978")
draw("winner", "days since 22 January 1978", "boys in bed")

infected = winner["total_infected"].mean()
print(f"infected at the winner: {infected:.0f} of 763; fell ill in 1978: {flu.attrs['ill']}")
print(f"days each: {result.best.theta['infectious_days']:.1f} infectious in the model, 3.0 in bed in 1978")

# %% [markdown]
# ## The report
# One file for a colleague, with the figures, the diagnostics of the emulator and the lines that make it
# again. The same from the shell: `hetcal run flu1978 --seed 1`.

# %%
print(f"The report is {result.report(FOLDER / 'report')}")
