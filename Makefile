# make demo | test | test-all | check | clean, and bench-train | bench-attfind | bench-datasets | bench-reading | bench-gpu |
# bench-scaling. The environment is made once, in .venv.
SHELL := bash
PYTHON ?= python3
SUITE ?= demo
LOG = results/logs/$(SUITE)
STAMP := .venv/.installed
BIN := .venv/bin

# What `make test-all` needs from Debian: a browser, a fresh Debian for the image, Slurm, LaTeX with booktabs and T1 fonts,
# the text of a PDF. Without root or apt their tests are skipped, and say so.
PACKAGES := chromium debootstrap slurm-wlm munge texlive-latex-recommended cm-super-minimal poppler-utils

.PHONY: demo test test-all check clean packages
.PHONY: bench-train bench-attfind bench-datasets bench-reading bench-gpu bench-scaling

# What it prints is kept in results/logs/demo.txt, what Snakemake says besides in demo.log. The timespan: every job that ends
# adds one more look of Snakemake's at all jobs per timespan (its pull request 3744), a second if nothing is said.
demo: $(STAMP)
	@mkdir -p results/logs
	@set -o pipefail; $(BIN)/python -m stylex validate $(SUITE) | tee $(LOG).txt
	@PYTHONPATH=$(CURDIR) $(BIN)/snakemake --cores $(shell nproc) --max-jobs-per-timespan 1000/5s \
	  --logger stylex --logger-stylex-record $(LOG).txt --config suite=$(SUITE) \
	  2> $(LOG).log || { tail -n 3 $(LOG).log; echo "All of it: $(LOG).log"; exit 1; }
	@set -o pipefail; $(BIN)/python -m stylex summary $(SUITE) | tee -a $(LOG).txt

# Two processes of one thread, as in the rules: docs/method-notes.md says why.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --no-loadscope-reorder

# All but what is slow or needs a service.
test: $(STAMP)
	$(PYTEST) -m "not slow and not browser"

# With Slurm, a browser, DVC and its remotes, trainings that are killed, published sizes: half an hour on two cores.
test-all: $(STAMP) packages
	$(PYTEST)

packages:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null && ! dpkg -s $(PACKAGES) > /dev/null 2>&1; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends $(PACKAGES); fi

check: $(STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports --no-cache
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/snakefmt --line-length 120 --check Snakefile workflow
	$(BIN)/snakemake --lint

# Our training step against a textbook one, 20 to 30 minutes on two cores with nothing else running, and whole trainings
# until they are good, some 20 minutes more.
bench-train: $(STAMP)
	$(BIN)/python tests/benchmarks/bench_training.py

# AttFind against one move at a time: some minutes on two cores, with nothing else running; needs the demo's models.
bench-attfind: $(STAMP)
	$(BIN)/python tests/benchmarks/bench_attfind.py

# Preparing datasets against Pillow alone: some 10 minutes on two cores, with nothing else running; 5 GB in TMPDIR.
bench-datasets: $(STAMP)
	$(BIN)/python tests/benchmarks/bench_datasets.py

# How fast images of 256x256 reach a training step: a minute, with nothing else running; 0.8 GB in TMPDIR.
bench-reading: $(STAMP)
	$(BIN)/python tests/benchmarks/bench_reading.py

# A training step, AttFind, and agreement with the CPU, on one GPU: ten minutes. docs/performance.md says what was measured.
bench-gpu: $(STAMP)
	$(BIN)/python tests/benchmarks/bench_gpu.py

# How AttFind and training grow by images, coordinates, resolution: 12 minutes on two cores, nothing else running.
bench-scaling: $(STAMP)
	$(BIN)/python tests/benchmarks/bench_scaling.py

clean:
	rm -rf .pytest_cache .ruff_cache .hypothesis *.egg-info
	find stylex tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -r requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	touch $@
