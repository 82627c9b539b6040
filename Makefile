# make calibrate and make test do all; the first call sets up, later ones need no network.
PYTHON := .venv/bin/python
SET_UP := .venv/set-up
# Studies of coverage and efficiency: long, resumable, and no matter of speed.
REPRODUCED := benchmarks/reproduce_coverage.py benchmarks/placement_efficiency.py benchmarks/index_coverage.py
MEASLES := benchmarks/reproduce_measles.py
EMULATORS := benchmarks/reproduce_emulators.py
NO_BENCHMARK := benchmarks/crash_test.py benchmarks/resumable.py $(REPRODUCED) $(MEASLES) $(EMULATORS)
BENCHMARKS := $(filter-out $(NO_BENCHMARK),$(sort $(wildcard benchmarks/*.py)))

# A caller's Python settings must not change which packages are found.
unexport PYTHONHOME PYTHONPATH

.PHONY: help calibrate compare test lint bench reproduce-coverage reproduce-measles reproduce-emulators \
	crash-test check-r wheel setup clean

help:
	@echo "make calibrate   calibrate the 1978 school influenza and write its report"
	@echo "make compare     a second model of it, and both on one page (half an hour)"
	@echo "make test        tests of the Python and the R half"
	@echo "make lint        black, flake8 and mypy"
	@echo "make bench       every benchmark, each against its named peer"
	@echo "make reproduce-coverage  do intervals cover what they claim? (an hour; stop and go on at will)"
	@echo "make reproduce-measles   hours: the measles chain by TPE and by ours against what can be known; go on at will"
	@echo "make reproduce-emulators an hour or two: calibrations with many losses on a known test function; go on at will"
	@echo "make crash-test  kill a study 1,000 times; nothing may be lost"
	@echo "make check-r     R CMD check of the R package"
	@echo "make wheel       a wheel in dist/"
	@echo "make setup       only what the others need first"
	@echo "make clean       remove what was built; .venv and results stay"

setup: $(SET_UP)

$(SET_UP): .ci/setup .ci/debian-packages.txt pyproject.toml
	.ci/setup
	@touch $@

calibrate: $(SET_UP)
	.venv/bin/hetcal run flu1978 --out results/flu1978

compare: calibrate
	.venv/bin/hetcal run flu1978_bed --out results/flu1978_bed
	.venv/bin/hetcal compare results/flu1978 results/flu1978_bed --out results/flu1978-models

# One file's tests stay on one worker, so that its R fits are made once.
test: $(SET_UP)
	$(PYTHON) -m pytest -n 2 --dist loadfile
	Rscript .ci/testthat.R

lint: $(SET_UP)
	black --check --diff --quiet src tests benchmarks vignettes
	flake8 src tests benchmarks vignettes
	mypy

bench: $(SET_UP)
	@set -e; for benchmark in $(BENCHMARKS); do echo "== $$benchmark"; $(PYTHON) $$benchmark; done

reproduce-coverage: $(SET_UP)
	@set -e; for study in $(REPRODUCED); do echo "== $$study"; $(PYTHON) $$study; done

reproduce-measles: $(SET_UP)
	$(PYTHON) $(MEASLES)

reproduce-emulators: $(SET_UP)
	$(PYTHON) $(EMULATORS)

crash-test: $(SET_UP)
	$(PYTHON) benchmarks/crash_test.py --kills 1000

check-r: $(SET_UP)
	@set -e; folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; cp -R R "$$folder/hetcal"; cd "$$folder"; \
	R CMD build hetcal; R CMD check --no-manual hetcal_*.tar.gz; \
	! grep -q '^Status:.*WARNING' hetcal.Rcheck/00check.log

# setuptools would pack what an earlier build left in build/.
wheel: $(SET_UP)
	rm -rf build
	$(PYTHON) -m pip wheel . --no-deps --no-index --no-build-isolation --wheel-dir dist
	rm -rf build

clean:
	rm -rf build dist .mypy_cache .pytest_cache .hypothesis src/hetcal.egg-info
	find src tests benchmarks vignettes -name __pycache__ -type d -prune -exec rm -rf {} +
