# %% [markdown]
# # A model of another language
#
# A simulator need not be written in Python. `hc.simulators.Command` writes the input files of a program, starts it,
# reads what it wrote, and keeps in the ledger what it says when it fails. We calibrate an outbreak model in C to the
# flu at a boarding school, look at what becomes of runs that fail in a model in R, and run one parameter set through
# several scenarios.
#
# Run it with `python vignettes/external_model.py`: under half a minute. It needs a C compiler (`cc`) and R.

# %%
import os
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd

import hetcal as hc

FOLDER = Path(os.environ.get("HETCAL_VIGNETTE_FOLDER", "results/vignette-external-model"))
FOLDER.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# ## The program
# An SIR model of a closed population in small steps of a day. The program reads an XML file and writes a long table:
# survey (here a day), group, measure, value. Measure 1 is the number of infectious people.

# %%
(FOLDER / "outbreak.c").write_text(
    r"""
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t state;

static double uniform(void) {
    uint64_t z = (state += 0x9E3779B97F4A7C15ULL);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return ((z ^ (z >> 31)) >> 11) * (1.0 / 9007199254740992.0);
}

static int binomial(int n, double p) {
    int k = 0;
    while (n-- > 0) k += uniform() < p;
    return k;
}

static double setting(const char *text, const char *name) {
    char key[64];
    snprintf(key, sizeof key, " %s=\"", name);
    const char *found = strstr(text, key);
    if (!found) { fprintf(stderr, "the scenario has no %s\n", name); exit(3); }
    return strtod(found + strlen(key), NULL);
}

int main(int argc, char **argv) {
    static char text[65536];
    FILE *in = argc > 2 ? fopen(argv[1], "r") : NULL;
    if (!in) { fprintf(stderr, "usage: outbreak scenario.xml output.txt\n"); return 2; }
    text[fread(text, 1, sizeof text - 1, in)] = 0;
    fclose(in);
    int people = setting(text, "people"), days = setting(text, "days"), steps = 24;
    double start = setting(text, "start"), recovery = 1 / (setting(text, "infectiousDays") * steps);
    state = strtoull(strstr(text, " seed=\"") + 7, NULL, 10);
    int infectious = floor(start) + (uniform() < start - floor(start)), susceptible = people - infectious;
    double hazard = setting(text, "R0") * fmin(recovery, 1) / people;
    FILE *out = fopen(argv[2], "w");
    for (int day = 1; day <= days; day++) {
        fprintf(out, "%d\t1\t1\t%d\n", day, infectious);
        for (int step = 0; step < steps; step++) {
            int cases = binomial(susceptible, 1 - exp(-hazard * infectious));
            infectious += cases - binomial(infectious, recovery);
            susceptible -= cases;
        }
    }
    return fclose(out);
}
"""
)
subprocess.run(["cc", "-O2", "-o", FOLDER / "outbreak", FOLDER / "outbreak.c", "-lm"], check=True)

# %% [markdown]
# ## The adapter
# The template is the program's own input file with placeholders. `{seed}` must be somewhere, or all runs of a
# parameter set would be alike; a placeholder that nothing fills and a parameter that stands nowhere are errors, now
# and not after a night of runs. The fingerprint, by which the ledger knows the model, covers the template and the
# program itself: when you compile it anew, old runs are not taken for those of the new one.

# %%
(FOLDER / "scenario.xml").write_text(
    """<?xml version="1.0"?>
<scenario people="763" days="14">
  <disease R0="{R0}" infectiousDays="{infectious_days}"/>
  <run start="{I0}" seed="{seed}"/>
</scenario>
"""
)
flu = hc.data.flu1978()
outbreak = hc.simulators.Command(
    [FOLDER / "outbreak", "scenario.xml", "output.txt"],
    parameters=["R0", "infectious_days", "I0"],
    outputs={"in_bed": (len(flu),)},
    version="1",
    templates=FOLDER / "scenario.xml",
    read={"in_bed": hc.simulators.LongTable("output.txt", measure=1)},
    time_limit=60,
)

# %% [markdown]
# ## Is it the same model?
# hetcal ships this model as `StochasticSIR`. Their random numbers differ, so their runs do; their laws must not.

# %%
space = hc.Space(
    [
        hc.Parameter("R0", hc.uniform(1.2, 8.0), label="basic reproduction number"),
        hc.Parameter("infectious_days", hc.uniform(0.5, 6.0), unit="day"),
        hc.Parameter("I0", hc.log_uniform(1, 12), label="infectious on day 0"),
    ]
)
targets = [hc.Target("in_bed", observed=flu["in_bed"], loss="poisson_deviance", label="boys in bed")]
ledger = hc.Ledger(FOLDER / "runs.sqlite")
here = [[3.7, 2.2, 6.0]]
for name, simulator in [
    ("the C program", outbreak),
    ("StochasticSIR", hc.simulators.StochasticSIR(population=763, days=len(flu))),
]:
    problem = hc.Problem(space, simulator, targets)
    runs = hc.run_ensemble(problem, here, replicates=200, ledger=ledger, seed=1, workers=2)
    chosen = ledger.runs(simulator)["run_id"].isin(runs["run_id"])
    bed_days = ledger.outputs(simulator, "in_bed")[chosen].sum(axis=1)
    error = bed_days.std(ddof=1) / np.sqrt(len(bed_days))
    print(f"{name:>14}: {bed_days.mean():.0f} ± {error:.0f} bed-days from 200 runs")

# %% [markdown]
# ## Calibration
# From here on nothing differs from a simulator in Python: worker processes, time limits, resuming and reports are
# the same. Kill this script in the middle and start it again: runs that are in the ledger are not made again, and
# no program is left running. The search has a ledger of its own: in the one above it would take over the 200 runs at
# parameters that we chose, and hardly look elsewhere.

# %%
searched = hc.Ledger(FOLDER / "search.sqlite")
result = hc.BayesianCalibration(
    hc.Problem(space, outbreak, targets), initial=50, replicates=5, batch=10, rounds=3
).run(searched, seed=1, workers=2)
best = ", ".join(f"{name} {value:.2f}" for name, value in result.best.theta.items())
print(f"least mean loss of single runs: {best}")
print(f"runs of the program in the ledger: {len(searched.runs(outbreak))}")

# %% [markdown]
# ## A model in R, and runs that fail
# This one draws the number of those infected in a household and prints a table; what a program prints is in the
# file `run.stdout` of its working directory. It has a fault: it stops at high rates. Such a run is a row of the
# ledger with the exit code and the end of what the program said on standard error; it trains no emulator, and it is
# not a zero.

# %%
(FOLDER / "household.R").write_text(
    """
given <- as.numeric(commandArgs(TRUE))
set.seed(given[2])
if (given[1] > 2) stop("rate above 2: the table of contacts ends there")
write.csv(data.frame(infected = rbinom(1, 4, 1 - exp(-given[1]))), row.names = FALSE)
"""
)
household = hc.simulators.Command(
    ["Rscript", "--vanilla", FOLDER / "household.R", "{rate}", "{seed}"],
    parameters=["rate"],
    outputs={"infected": ()},
    version="1",
    read={"infected": hc.simulators.CSV("run.stdout", "infected")},
)
problem = hc.Problem(
    hc.Space([hc.Parameter("rate", hc.uniform(0.1, 3.0))]),
    household,
    [hc.Target("infected", observed=[3], loss="binomial", trials=4)],
)
runs = hc.run_ensemble(problem, [[0.5], [2.5]], replicates=2, ledger=ledger, seed=1, workers=2)
for run in runs.itertuples():
    print(f"rate {run.rate}: {run.status}{': ' + run.error.splitlines()[0] if run.error else ''}")

# %% [markdown]
# ## Several scenarios a run
# Data often come from several places: one set of parameters, one input file for each. A table of scenarios fills
# one template for each of its rows; with `{file}` in the command the program is started once for each file. (Where
# the files have nothing in common, give a list of templates in place of a table.) A scenario whose program fails
# costs the outputs that need it: the run is partial and trains the targets that it has.

# %%
(FOLDER / "place.xml").write_text(
    (FOLDER / "scenario.xml").read_text().replace('people="763"', 'people="{people}"')
)
places = hc.simulators.Command(
    [FOLDER / "outbreak", "{file}", "{file}.txt"],
    parameters=["R0", "infectious_days", "I0"],
    outputs={"in_bed": (3, 14)},
    version="1",
    templates={"{scenario}.xml": FOLDER / "place.xml"},
    scenarios=pd.DataFrame({"people": [100, 763, 5000]}, index=["village", "school", "town"]),
    read={"in_bed": hc.simulators.LongTable("{scenario}.xml.txt", measure=1)},
)
in_bed = places({"R0": 3.7, "infectious_days": 2.2, "I0": 6.0}, seed=1)["in_bed"]
print("day of the peak in village, school and town:", *in_bed.argmax(axis=1))
ledger.close()
