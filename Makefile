# One command each; every one makes the virtual environment that it needs.
#   make demo            serve the example clinic on port 8000 (PORT=8123 for another)
#   make test            run the tests
#   make help            list everything

PORT ?= 8000
VENV ?= .venv
BIN := $(VENV)/bin
TESTS ?=

# python3, or the newest beside it that is new enough; PYTHON=/path/to/python names another.
IS_NEW_ENOUGH := 'import sys; sys.exit(sys.version_info < (3, 10))'
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11 python3.10; do \
	$$name -c $(IS_NEW_ENOUGH) 2>/dev/null && echo $$name && break; done)

PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
PYTEST := $(BIN)/python -m pytest -q --numprocesses 4
.PHONY: help demo test pages lint types screenshots clean

help: ## list the commands
	@sed -n 's/^\([a-z]*\):.*## /make \1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 20

demo: $(VENV)/.has-example ## serve the example clinic, with patients, staff and a history
	@$(BIN)/python example_project/manage.py demo --port $(PORT)

test: $(VENV)/.has-test ## run the tests on SQLite (TESTS=tests/api for some of them)
	@FUZZ_REQUESTS=1000 $(PYTEST) --dist loadfile --no-loadscope-reorder -m "not pages" $(TESTS)

pages: $(VENV)/.has-test ## test every page and state in Chromium (axe-core: npm ci --prefix tests/pages)
	@$(PYTEST) --dist load -m pages $(TESTS)

lint: $(VENV)/.has-dev ## check style and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(VENV)/.has-dev ## check the types
	@$(BIN)/python -m mypy

screenshots: $(VENV)/.has-test ## take the pictures in docs/images anew
	@$(BIN)/python -m docs.take_screenshots

clean: ## remove the virtual environment, the demo's databases and what tools left
	rm -rf $(VENV) .demo build dist *.egg-info .coverage* .hypothesis \
		.mypy_cache .pytest_cache .ruff_cache example_project/riverbend.sqlite3*

$(BIN)/python:
	@$(if $(PYTHON),,echo "No Python 3.10 or newer was found as python3: install one, or name it: make PYTHON=/path/to/python3" >&2; exit 1)
	@$(PYTHON) -c $(IS_NEW_ENOUGH) || { \
		echo "$(PYTHON) is no Python 3.10 or newer that runs: name one, make PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "Making a virtual environment in $(VENV) (once)"
	@$(PYTHON) -m venv $(VENV)

# A stamp per set of requirements, so that nothing is installed twice.
$(VENV)/.has-%: setup.cfg pyproject.toml | $(BIN)/python
	@echo "Installing what \"$*\" needs (once)"
	@$(PIP_INSTALL) --editable '.[$*]'
	@touch $@
