# make demo   compile a real binarized network, run it, compare it with onnxruntime
# make test   the whole test suite
# make lint   ruff and mypy
# make bench  the benchmark networks beside onnxruntime: an hour; then a table of them

PYTHON ?= python3
PYTEST_ARGS ?= -n auto --dist worksteal
VENV := .venv
BIN := $(VENV)/bin
COMPILERS := $(firstword $(CC)) gcc clang $(addprefix clang-,21 20 19 18 17 16 15 14)
CC_FOUND := $(shell for name in $(COMPILERS); do command -v $$name && break; done)

.PHONY: demo test lint bench clean compiler

demo: $(VENV)/.base compiler
	@$(BIN)/python examples/demo.py

test: $(VENV)/.test compiler
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(VENV)/.test
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

bench: $(VENV)/.base compiler
	@$(BIN)/python -m benchmarks.suite --models build/models --against onnxruntime --per-layer > bench.jsonl
	@$(BIN)/python -m benchmarks.suite --tables bench.jsonl

compiler:
	@test -n "$(CC_FOUND)" || { echo "bitc needs a C compiler and there is none: install one (Debian, Ubuntu: apt-get install gcc) or name one in CC." >&2; exit 4; }

# A stamp for what is installed, older than pyproject.toml when it is stale.
$(VENV)/.base: pyproject.toml | $(BIN)/python
	@echo "installing bitc into $(VENV)"
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check -e ".[elf]"
	@touch $@

$(VENV)/.test: pyproject.toml | $(BIN)/python
	@echo "installing bitc and its test tools into $(VENV)"
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check -e ".[test]"
	@touch $@ $(VENV)/.base

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "bitc needs Python 3.11 or newer; name one in PYTHON, as in: make test PYTHON=python3.12" >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV)

clean:
	rm -rf $(VENV) demo_out build bench.jsonl
