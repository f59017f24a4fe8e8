# Every command a developer or a newcomer needs. `make demo` is the five-minute start.
PYTHON ?= python3
BIN := .venv/bin
SETUP := .venv/.installed
DEV := .venv/.installed-dev
AZ := .venv-az/.installed-2.91.0

.DEFAULT_GOAL := help
.PHONY: help setup demo format lint type imports test notebooks sandbox conformance docs check compare bench chaos size clean

help:  ## list the commands
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 18

$(SETUP): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "mnslib needs Python 3.11 or newer; set PYTHON=python3.11")'
	@echo "Installing into .venv, about a minute ..."
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(DEV): $(SETUP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

setup: $(DEV)  ## make .venv with everything for development

demo: $(SETUP)  ## run the three main jobs on the built-in sandbox; leaves runs/index.html
	$(BIN)/mns demo

format: $(DEV)  ## put code and notebooks into shape
	$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format --quiet .
	$(BIN)/nbstripout --keep-id notebooks/*.ipynb

lint: $(DEV)  ## style, spelling, clean notebooks, valid project file
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/codespell mnslib tests docs notebooks parameters README.md CHANGELOG.md
	$(BIN)/nbstripout --keep-id --verify notebooks/*.ipynb
	$(BIN)/validate-pyproject pyproject.toml

type: $(DEV)  ## mypy, strict on the library
	$(BIN)/mypy

imports: $(DEV)  ## the rooms of the house: who may import whom
	$(BIN)/lint-imports

test: $(DEV)  ## the whole test suite, on up to four cores
	$(BIN)/pytest -n auto --maxprocesses 4 --dist worksteal

notebooks: $(DEV)  ## only the notebooks: their rules, then their runs
	$(BIN)/pytest tests/notebooks

sandbox: $(DEV)  ## only the sandbox
	$(BIN)/pytest tests/sandbox tests/contract

$(AZ):
	$(PYTHON) -m venv .venv-az
	.venv-az/bin/python -m pip install --quiet --disable-pip-version-check azure-cli==$(@:.venv-az/.installed-%=%)
	touch $@

conformance: $(DEV) $(if $(MNS_AZ),,$(AZ))  ## that the sandbox is Azure to the Azure CLI (MNS_AZ names another `az`)
	MNS_AZ=$${MNS_AZ:-.venv-az/bin/az} $(BIN)/pytest tests/conformance

docs: $(DEV)  ## only what the documents promise
	$(BIN)/pytest tests/docs

size: $(DEV)  ## lines of each room against its budget: thin is a feature
	@$(BIN)/python -m tests.size

check: lint type imports test size  ## everything that must hold before a change lands

bench: $(DEV) $(if $(MNS_AZ),,$(AZ))  ## speed, as ratios measured in one run (MNS_AZ as above)
	MNS_AZ=$${MNS_AZ:-.venv-az/bin/az} $(BIN)/python -m tests.benchmarks

compare: $(DEV)  ## the results of another commit and of this tree, cell by cell
	$(BIN)/python -m tests.safety_net

chaos: $(DEV)  ## 200 bulk runs in bad weather, killed at random and resumed until done
	$(BIN)/python -m tests.chaos

clean:  ## remove what was made (runs/ and handover/ stay)
	rm -rf .venv .venv-az .mns .mypy_cache .ruff_cache .pytest_cache build dist
