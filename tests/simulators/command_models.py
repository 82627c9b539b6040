"""Models in other languages for the tests of Command: the Reed-Frost epidemic of a household, in C and in R."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

# Reads an XML-like scenario, writes a long table: survey, group, measure, value. Measure 1 counts infections by
# generation (survey) and outbreak (group), measure 2 is the final size of each outbreak in survey 0.
C_SOURCE = r"""
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <math.h>

static uint64_t state;

static double uniform(void) {
    uint64_t z = (state += 0x9E3779B97F4A7C15ULL);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return ((z ^ (z >> 31)) >> 11) * (1.0 / 9007199254740992.0);
}

static double entry(const char *text, const char *name) {
    char key[64];
    snprintf(key, sizeof key, "%s=\"", name);
    const char *found = strstr(text, key);
    if (!found) { fprintf(stderr, "no attribute %s\n", name); exit(3); }
    return atof(found + strlen(key));
}

int main(int argc, char **argv) {
    static char text[65536];
    FILE *in = fopen(argv[1], "r"), *out;
    if (argc != 3 || !in) { fprintf(stderr, "usage: household config out\n"); return 2; }
    text[fread(text, 1, sizeof text - 1, in)] = 0;
    double escape = exp(-entry(text, "beta"));
    int people = (int) entry(text, "people"), outbreaks = (int) entry(text, "outbreaks");
    state = strtoull(strstr(text, "seed=\"") + 6, NULL, 10);
    out = fopen(argv[2], "w");
    for (int group = 1; group <= outbreaks; group++) {
        int susceptible = people - 1, infectious = 1;
        for (int survey = 1; survey <= people; survey++) {
            int infected = 0;
            for (int k = 0; k < susceptible; k++) infected += uniform() > pow(escape, infectious);
            susceptible -= infected;
            infectious = infected;
            fprintf(out, "%d\t%d\t1\t%d\n", survey, group, infected);
        }
        fprintf(out, "0\t%d\t2\t%d\n", group, people - 1 - susceptible);
    }
    return fclose(out);
}
"""

XML = """<?xml version="1.0"?>
<!-- braces that are not placeholders: { beta } {} {"a": 1} -->
<scenario><model beta="{beta}" people="3"/><run outbreaks="{outbreaks}" seed="{seed}"/></scenario>
"""

R_MODEL = """
set.seed(settings$seed)
infectious <- rep(1, 400)
susceptible <- rep(2, 400)
for (generation in 1:3) {
    infected <- rbinom(400, susceptible, 1 - exp(-settings$beta * infectious))
    susceptible <- susceptible - infected
    infectious <- infected
}
size <- 2 - susceptible
"""

R_SOURCE = f"""
settings <- new.env()
source(commandArgs(TRUE)[1], local = settings)
{R_MODEL}
write.csv(data.frame(household = 1:400, infected = size), "out.csv", row.names = FALSE)
"""


def compiled(folder: Path) -> Path:
    """The C model."""
    source, program = folder / "household.c", folder / "household"
    source.write_text(C_SOURCE)
    compiler = shutil.which("cc")
    assert compiler is not None, "no C compiler: apt-get install gcc"
    subprocess.run([compiler, "-O2", "-o", str(program), str(source), "-lm"], check=True)
    return program


def final_size_law(beta: float) -> np.ndarray:
    """Probabilities that 0, 1, 2 of the two others of a household of three fall ill (Reed-Frost)."""
    q = np.exp(-beta)
    none, one = q**2, 2 * (1 - q) * q * q
    return np.array([none, one, 1 - none - one])


def arguments(simulator: Any) -> dict[str, Any]:
    """The arguments that a Command was made with."""
    return {name: value for name, value in vars(simulator).items() if not name.startswith("_")}
