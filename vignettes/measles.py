# %% [markdown]
# # From a cheap model to a dear one
#
# Measles travels along a chain of clusters A, B far, B near and C: 45 patches, 1.6 million people. An
# individual-level model (ABM) can simulate it, and so can a cheaper compartmental one (CMP). How far does one get
# with the cheap model before the dear one is asked, what can each stage tell, and what can it not?
#
# The data are 20 runs of the ABM at parameters that we know, so every answer can be checked: beta (infections a day
# by one infectious person), k (share of contacts away from home) and c (exponent of distance).
#
# Run it with `python vignettes/measles.py`: a good minute. It is a plain script.

# %%
import os
from pathlib import Path

import matplotlib
import numpy as np

import hetcal as hc
from hetcal.simulators import SpatialCMP, SpatialMeanField
from hetcal.studies import three_cluster

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

# Where the figures go, and how long the dear model is searched (the tests make do with less).
FOLDER = Path(os.environ.get("HETCAL_VIGNETTE_FOLDER", "results/vignette-measles"))
TRIALS = int(os.environ.get("HETCAL_VIGNETTE_TRIALS", "24"))
ROUNDS = int(os.environ.get("HETCAL_VIGNETTE_ROUNDS", "4"))
FOLDER.mkdir(parents=True, exist_ok=True)

truth = three_cluster.TRUTH
reference = three_cluster.reference()
abm = three_cluster.chain()
problem = three_cluster.problem(reference=reference)
print(", ".join(f"{name} {value:.3f}" for name, value in reference.statistics.items()))

# %% [markdown]
# ## Before any search: what could the data tell?
# Raise one parameter by a tenth, on the same seeds, and see by how many sampling errors of 20 runs each statistic
# moves. Below one nothing can be seen.

# %%
SEEDS = np.arange(1001, 1041)
design = [list(truth.values())] + [[truth[p] * (1.1 if p == q else 1.0) for p in truth] for q in truth]
swept = hc.Ledger()  # its own: a search would take runs at the truth over as trials
hc.run_ensemble(problem, design, seeds=SEEDS, ledger=swept)
SHOWN = {"share that invades C": "invaded_C", "attack rate in A": "attack_rate_A", "peak in A": "peak_day_A"}
outputs = {name: swept.outputs(abm, name).reshape(4, len(SEEDS)) for name in SHOWN.values()}
for label, name in SHOWN.items():
    at_truth, *raised = outputs[name]
    error = at_truth.std(ddof=1) / np.sqrt(three_cluster.REALISATIONS)
    moved = ", ".join(f"{p} {(x.mean() - at_truth.mean()) / error:+.1f}" for p, x in zip(truth, raised))
    print(f"{label:>21}, sampling errors for a tenth more: {moved}")

# %% [markdown]
# beta moves the attack rate and the peak in A by many sampling errors. k moves the peak by one or two. c moves only
# whether C is invaded, yes or no, and that only by about one: whatever the method, 20 runs will say little of c.
#
# ## Stage one: a cheap model
# The cheap models are compared with the course of the outbreak in A: one run a trial, 100 trials of TPE, c held at
# its true value. The CMP draws binomial numbers, so it is not without chance; but its people wait geometric times.
# The mean field below has no chance at all, and the disease's own waiting times.

# %%
CHEAP = {
    "CMP": three_cluster.chain(SpatialCMP),
    "mean field": three_cluster.chain(SpatialMeanField, sojourns="delays", days=300),
}
HOW = {"replicates": 1, "debias": False, "hold": {"c": truth["c"]}, "carry": False, "batch": 1}
dear = {"narrow": {"beta": "good", "k": "good"}, "replicates": 12, "debias": False, "name": "dear"}
results = {}
for name, model in CHEAP.items():
    first = hc.Stage(three_cluster.cheap_problem(model, reference), trials=100, name="cheap", **HOW)
    cascade = hc.Cascade(
        [first, hc.Stage(problem, trials=TRIALS, **dear)], finalists=1, winner_replicates=200
    )
    results[name] = cascade.run(seed=1)
    found = results[name].stages["cheap"].best().theta
    peak = model(truth, 1)["peak_day_A"]
    print(
        f"{name:>10}: peak in A at the truth on day {peak:.0f}; found over true: "
        f"beta {found['beta'] / truth['beta']:.2f}, k {found['k'] / truth['k']:.2f}"
    )
print(f"       ABM: peak in A on day {reference.statistics['mean_peak_A']:.0f}")

# %% [markdown]
# The CMP is two weeks late, and a fast outbreak has to be had from somewhere: it takes a beta that is too large and
# twice the k. The model without chance, but with the right waiting times, is off by two days, gets beta within
# 1 % and k within a quarter. So it is not chance that the CMP lacks. **A cheap stage tells what its
# mechanism has right; it hides what it has wrong in its parameters.** And neither says a word of c: the course
# in A does not depend on it.
#
# ## Stage two: the dear model, where the cheap one points
# The next stage searches the ABM in the range of the best quarter of the cheap trials. Is the truth inside?

# %%
for name, result in results.items():
    box = result.stages["dear"].box
    inside = "inside" if box.params(truth) is not None else "outside"
    ends = box.distributions()
    told = ", ".join(f"{p} {ends[p].low:.3g} to {ends[p].high:.3g}" for p in ("beta", "k"))
    print(f"narrowed by the {name}: {told}; the truth is {inside}")
for name, result in results.items():
    best = result.best
    ratios = ", ".join(f"{p} {best.theta[p] / truth[p]:.2f}" for p in truth)
    print(
        f"winner after the {name}: {ratios} of the truth; loss {best.believed:.1f} when it was chosen, "
        f"{best.loss:.1f} on 200 fresh seeds"
    )

# %% [markdown]
# After the CMP the ABM is searched where the truth is not: a bias that is narrowed around cannot be mended by more
# trials. After the mean field the truth is inside. But look at the losses: the winner was chosen for a loss that it
# does not have on fresh seeds. With 12 seeds a trial, the best of some trials is the luckiest of them.
#
# How much of that is chance? The loss at the *true* parameters, over ensembles of 12 and of 60 seeds:

# %%
SIZES = (12, 60)
at_truth = abm.batch(np.tile(list(truth.values()), (300, 1)), np.arange(2001, 2301))
floor = {}
for m in SIZES:
    parts = ({name: x[i : i + m] for name, x in at_truth.items()} for i in range(0, 300, m))
    floor[m] = [problem.contributions(part)["total"].mean() for part in parts]
    low, median, high = np.quantile(floor[m], [0.0, 0.5, 1.0])
    print(f"loss at the truth with {m} seeds: median {median:.1f}, from {low:.1f} to {high:.1f}")

# %% [markdown]
# A loss of a few units is what the truth itself gets, so the search cannot tell a good trial from a lucky one. **A
# search by loss points at a region; it says neither how sure it is nor which of its best trials is nearer.** More
# seeds a trial help more than more trials.
#
# ## Stage three: a posterior
# Single runs of the same model, a few seeds at each location, teach emulators of what a run does: whether C is
# invaded, attack rates, the peak. The likelihood of the six statistics follows by their sampling laws. A location
# with 4 seeds and one with 60 both count for what they are worth.
#
# The cheap model is of use here without being believed. Run in the same places, it says how each number moves with
# the parameters, and only the difference to it, its discrepancy, must be learned from runs of the dear one. The CMP's
# two weeks are such a difference, and an easy one, since they are much the same everywhere. Where the cheap model does
# not help to predict runs that the emulator has not seen, it is left out.

# %%
method = hc.EnsemblePosterior(problem, cheap=CHEAP["CMP"], initial=30, rounds=ROUNDS, predictive=0)
posterior = method.run(hc.Ledger(), seed=1)
intervals = posterior.intervals(0.9).set_index("parameter")
for p, (median, low, high) in intervals.iterrows():
    inside = "inside" if low <= truth[p] <= high else "outside"
    print(f"{p:>5}: {low / truth[p]:.3f} to {high / truth[p]:.3f} of the truth, which is {inside}")
print(f"{posterior.runs['total']} runs of the ABM")

# %%
MARKS = {"CMP": ("#D55E00", "s"), "mean field": ("#009E73", "D")}  # told apart by colour-blind readers
figure, axes = plt.subplots(1, 3, figsize=(11, 3), sharey=True)
rows = ["cheap model", "search of the ABM", "posterior (90 %)"]
for panel, p in zip(axes, truth):
    panel.axvline(1, color="black", lw=1)
    for name, (colour, marker) in MARKS.items():
        stages = results[name].stages
        lift = 0.12 if name == "CMP" else -0.12
        for row, theta in enumerate((stages["cheap"].best().theta, results[name].best.theta)):
            if row or p != "c":
                panel.plot(theta[p] / truth[p], 2 - row + lift, marker, color=colour, ms=8, label=name)
    panel.hlines(0, *(intervals.loc[p, ["low", "high"]] / truth[p]), color="#0072B2", lw=6)
    panel.plot(intervals.loc[p, "median"] / truth[p], 0, "o", color="#0072B2", ms=9)
    panel.set_xscale("log")
    panel.set_xticks([0.25, 0.5, 1, 2, 4], ["0.25", "0.5", "1", "2", "4"])
    panel.minorticks_off()
    panel.set_yticks([2, 1, 0], rows)
    panel.set_ylim(-0.5, 2.5)
    panel.set_xlabel(f"{p}, found over true")
handles, labels = axes[0].get_legend_handles_labels()
named = dict(zip(labels, handles))
told = [f"after the {name}" for name in named]
figure.legend(named.values(), told, frameon=False, loc="upper center", ncols=2, fontsize=9)
axes[2].text(1.05, 2, "c is held", va="center", fontsize=9)
figure.tight_layout(rect=(0, 0, 1, 0.93))
figure.savefig(FOLDER / "stages.png", dpi=150)
plt.close(figure)

# %% [markdown]
# beta is known to a tenth of a per cent, k to about a fifth, c to about a fifth, as the sweep said it would be.
# That is not the method's failure: 20 yes-or-no outcomes do not hold more.
#
# ## What each stage can and cannot tell
# | stage | can tell | cannot tell |
# |---|---|---|
# | sweep before any search | which statistic knows which parameter, and what will stay unknown | values |
# | cheap model | where to look, for what its mechanism has right | its own bias; c |
# | cheap model beside the dear one | how numbers move, so that fewer dear runs do | values of its own |
# | search by loss | a region with small losses | how sure it is; which of its winners is nearer |
# | posterior | values with a probability | what the data do not hold |
#
# To know c better, look at other data rather than at more runs: the day on which each patch was reached depends on
# distance directly. `three_cluster.problem(arrivals=True)` adds it. `hetcal run three_cluster` makes the whole
# study with its report.
