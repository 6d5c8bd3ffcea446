# make demo | test | check | clean. The environment is made once, in .venv.
SHELL := bash
PYTHON ?= python3
SUITE ?= demo
STAMP := .venv/.installed
BIN := .venv/bin

.PHONY: demo test check clean

demo: $(STAMP)
	$(BIN)/python -m stylex validate $(SUITE)
	$(BIN)/snakemake --cores $(shell nproc) --quiet reason host --config suite=$(SUITE)
	@echo "The report is results/$(SUITE)/index.html"

test: $(STAMP)
	$(BIN)/python -m pytest

check: $(STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/snakefmt --line-length 120 --check Snakefile workflow
	$(BIN)/snakemake --lint

clean:
	rm -rf .pytest_cache .ruff_cache .hypothesis *.egg-info
	find stylex tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -r requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	touch $@
