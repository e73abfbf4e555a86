# Everything runs in .venv, made here from the hash-locked requirements; nothing else on the machine is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip --disable-pip-version-check install --quiet --no-deps

.PHONY: demo up test lint bench soak lock clean

demo: $(VENV)/installed
	@$(BIN)/ecluse demo demo

# Prefect for the hub of ECLUSE_HOME (else ~/.ecluse), in the foreground; PORT=4300 make up listens elsewhere
up: $(VENV)/installed
	@exec $(BIN)/python -m flows.up

# two processes at work, a thread each
test: lint
	@POLARS_MAX_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: $(VENV)/installed-dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/mypy --implicit-reexport tests/bench*.py
	@$(BIN)/lint-imports

bench: $(VENV)/installed-dev
	@$(BIN)/python tests/bench.py

soak: $(VENV)/installed-dev
	@$(BIN)/python -m pytest -m soak -n 2 --dist worksteal

# the versions in pyproject.toml, resolved for any machine: needs uv
lock:
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links pyproject.toml --group build -o requirements.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links -c requirements.lock pyproject.toml --group dev -o requirements-dev.lock

clean:
	rm -rf $(VENV) demo

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "python3 has no venv: install it (Debian: apt install python3-venv)"; rm -rf $(VENV); exit 1; }

$(VENV)/installed: requirements.lock pyproject.toml | $(VENV)/bin/python
	@echo "Installing (once, a minute or two) …"
	@$(INSTALL) --require-hashes -r requirements.lock
	@$(INSTALL) --no-build-isolation --editable .
	@touch $@

$(VENV)/installed-dev: requirements-dev.lock pyproject.toml | $(VENV)/bin/python
	@echo "Installing with the tools of development (once, a minute or two) …"
	@$(INSTALL) --require-hashes -r requirements-dev.lock
	@$(INSTALL) --no-build-isolation --editable .
	@touch $@ $(VENV)/installed
