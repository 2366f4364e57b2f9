# Everything runs in a virtual environment of its own, made at the first use.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := demo

.PHONY: demo test long check bench clean

demo: $(VENV)/.installed
	@rm -rf $(DEMO) && mkdir $(DEMO)
	$(BIN)/postledger ingest $(DEMO)/demo.db fixtures/specification/*.xml
	$(BIN)/postledger deliveries $(DEMO)/demo.db
	$(BIN)/postledger show $(DEMO)/demo.db TU1TXzU5Nzg3Nw==

# The tests start Python thousands of times: without bytecode each start compiles the engine anew.
test long: export PYTHONDONTWRITEBYTECODE :=

# The tests of a file stay in one process and in order: they share ledgers, and a page of docs its names.
test: $(VENV)/.tested
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python -m pytest -m "not long" -n 2 --dist loadfile --no-loadscope-reorder

long: $(VENV)/.tested
	$(BIN)/python -m pytest -m long

bench: $(VENV)/.benched
	$(BIN)/python -m benchmarks.before
	$(BIN)/python -m benchmarks.hostile
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks.concurrency
	$(BIN)/python -m benchmarks.processes
	$(BIN)/python -m benchmarks.wal
	$(BIN)/python -m benchmarks.http
	$(BIN)/python -m benchmarks.postgres
	$(BIN)/python -m benchmarks.wires
	$(BIN)/python -m benchmarks.search
	$(BIN)/python -m benchmarks.columnar
	$(BIN)/python -m benchmarks.spark

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Postledger needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.tested: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	@touch $@

$(VENV)/.benched: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	@touch $@

clean:
	rm -rf $(VENV) $(DEMO) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
