# Every target sets itself up: a virtual environment with plain pip, once.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
# Files of tests side by side, each in a process of one thread: on two cores that is nearly twice as fast.
PYTEST := env OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile
export PYTHONUTF8 = 1

.PHONY: help setup demo test test-all test-oldest test-of-oldest update check bench clean

help:
	@echo "make demo      train on synthetic clips and predict, no network needed after installation"
	@echo "make test      the tests (minutes)        make test-all   with the slow ones"
	@echo "make check     ruff and mypy              make bench      the figures of docs/benchmarks.md"
	@echo "make update    newer versions of other packages, pinned in constraints.txt, and all tests with them"
	@echo "make test-oldest   the tests with the oldest versions that pyproject.toml promises"

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python tools/versions.py install dev
	touch $@

demo: setup
	rm -rf demo/run
	$(BIN)/gerund train toy:demo/toy --backbone pixels --out demo/run
	@echo
	@echo "A clip of a performer it has never seen:"
	$(BIN)/gerund predict demo/run demo/toy/kicking/performer04-0.mp4 --save-video demo/answer.gif
	@echo
	@echo "Look at demo/answer.gif, demo/run/history.png, demo/run/confusion_matrix.png and demo/run/val_predictions.jpg"

test: setup
	$(PYTEST) -m "not slow"

test-all: $(VENV)/.all
	$(PYTEST)

$(VENV)/.all: $(VENV)/.ready
	$(BIN)/python tools/versions.py install all-tests
	touch $@

# Before a release: these two by hand. What passes is committed.
update:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python tools/versions.py pin all-tests
	$(MAKE) check test-all

test-oldest:
	$(PYTHON) -m venv .oldest
	.oldest/bin/python tools/versions.py oldest dev
	$(MAKE) test-of-oldest BIN=.oldest/bin

test-of-oldest:
	$(PYTEST) -m "not slow"

check: setup
	$(BIN)/ruff format --check src tests benchmarks tools
	$(BIN)/ruff check src tests benchmarks tools
	$(BIN)/mypy

bench: setup
	$(BIN)/python benchmarks/run.py

clean:
	rm -rf demo runs .pytest_cache .mypy_cache .ruff_cache
