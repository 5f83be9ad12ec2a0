# Every target installs what it needs into .venv, once: again only after a change of
# pyproject.toml or constraints.txt.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
BENCH := $(VENV)/.installed-bench

.DEFAULT_GOAL := help
.PHONY: help install demo test test-all lint bench clean

help:
	@echo "make demo      train and compare three programs on handwritten digits, write a report"
	@echo "make test      run the test suite, the slow tests left out"
	@echo "make test-all  run the whole test suite"
	@echo "make lint      ruff (lint and format) and mypy"
	@echo "make bench     run the benchmarks (15 minutes, nothing beside them), write BENCHMARKS.md"
	@echo "make install   install into $(VENV) only; every target above does so by itself"
	@echo "make clean     remove caches and build products; keeps $(VENV) and runs"
	@echo "PYTHON=...     the Python (3.11 or later) that $(VENV) is made from: now $(PYTHON)"

demo: $(STAMP)
	@$(PY) -m ppl_vae.experiments.demo

test: $(STAMP)
	@$(PY) -m pytest -q -n auto --dist worksteal -m "not slow"

test-all: $(STAMP)
	@$(PY) -m pytest -q -n auto --dist worksteal

lint: $(STAMP)
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy

bench: $(BENCH)
	@$(PY) -m ppl_vae.experiments.benchmarks.steps --write BENCHMARKS.md
	@$(PY) -m ppl_vae.experiments.benchmarks.evidence --write BENCHMARKS.md

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@if ! $(PY) -m pip --version >/dev/null 2>&1; then \
	  command -v $(PYTHON) >/dev/null || \
	    { echo "There is no '$(PYTHON)': install Python 3.11 or later, or say make PYTHON=..." >&2; exit 1; }; \
	  $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "ppl_vae needs Python 3.11 or later, '$(PYTHON)' is" \
	      "$$($(PYTHON) --version 2>&1): say for example make PYTHON=python3.11" >&2; exit 1; }; \
	  $(PYTHON) -m venv --clear $(VENV); \
	fi
	@echo "Installing ppl_vae and its dependencies into $(VENV), once (a minute or two) ..."
	@$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $(STAMP)

$(BENCH): $(STAMP)
	@echo "Installing what is measured beside (NumPyro and JAX), once ..."
	@$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[bench]"
	@touch $(BENCH)

clean:
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find ppl_vae models guides experiments tests -name __pycache__ -type d -prune -exec rm -rf {} +
