# Everything works on a fresh machine with Python >= 3.10, git and make.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-all lint bench

# PyTorch comes with its CUDA libraries, about 6 GB; it runs on a CPU as well.
.venv/installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@

demo: .venv/installed
	$(BIN)/nnUNetv2_factorizer_demo

lint: .venv/installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest

test-all: lint
	$(BIN)/python -m pytest -m ''

# The tables of benchmarks/REPORT.md: hours on a CPU, see there for the environment it needs.
bench: .venv/installed
	$(BIN)/python benchmarks/training_step.py
	$(BIN)/python benchmarks/factorization.py
	$(BIN)/python benchmarks/hippocampus.py train -o results/hippocampus
	$(BIN)/python benchmarks/hippocampus.py table -o results/hippocampus
