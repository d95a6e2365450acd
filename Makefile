# Every target sets itself up, with plain pip, once: the household (.venv) as people install it, the workshop (.workshop) with torch.
VENV ?= .venv
WORKSHOP ?= .workshop
PYTHON ?= python3
# Files of tests side by side, each in a process of one thread: on two cores that is nearly twice as fast.
PYTEST := python -m pytest -n auto --maxprocesses 4 --dist loadfile
export PYTHONUTF8 = 1

.PHONY: help setup workshop demo test test-household test-workshop test-all test-oldest update check bench site clean

help:
	@echo "make demo      train on synthetic clips and predict, no network needed after installation"
	@echo "make test      the tests, without torch and with it (minutes)    make test-household   those without alone"
	@echo "make test-all  with the slow ones       make check     ruff and mypy       make bench   the figures of docs/benchmarks.md"
	@echo "make update    newer versions of other packages, pinned in constraints.txt, and all tests with them"
	@echo "make site      the pages of docs/ as a site that needs no network"
	@echo "make test-oldest   the tests with the oldest versions that pyproject.toml promises"

setup: $(VENV)/.ready
workshop: $(WORKSHOP)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python tools/versions.py install
	touch $@

$(VENV)/.tests: $(VENV)/.ready
	$(VENV)/bin/python tools/versions.py install test
	touch $@

$(WORKSHOP)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(WORKSHOP)
	$(WORKSHOP)/bin/python tools/versions.py install dev
	touch $@

demo: setup
	rm -rf demo/run
	$(VENV)/bin/gerund train toy-small:demo/toy --out demo/run
	@echo
	@echo "A clip of a performer it has never seen:"
	$(VENV)/bin/gerund predict demo/run demo/toy/kicking/performer04-0.mp4 --save-video demo/answer.gif
	@echo
	@echo "Look at demo/answer.gif, demo/run/report.html, demo/run/confusion_matrix.png and demo/run/val_predictions.jpg"

test: test-household test-workshop

test-household: $(VENV)/.tests
	OMP_NUM_THREADS=1 $(VENV)/bin/$(PYTEST) -m "not torch and not slow"

test-workshop: $(WORKSHOP)/.ready
	OMP_NUM_THREADS=1 $(WORKSHOP)/bin/$(PYTEST) -m "torch and not slow"

test-all: $(WORKSHOP)/.all
	OMP_NUM_THREADS=1 $(WORKSHOP)/bin/$(PYTEST)

$(WORKSHOP)/.all: $(WORKSHOP)/.ready
	$(WORKSHOP)/bin/python tools/versions.py install all-tests
	touch $@

# Before a release: these two by hand. What passes is committed.
update:
	$(PYTHON) -m venv $(WORKSHOP)
	$(WORKSHOP)/bin/python tools/versions.py pin all-tests
	$(MAKE) check test-all

test-oldest:
	$(PYTHON) -m venv .oldest
	.oldest/bin/python tools/versions.py oldest dev
	OMP_NUM_THREADS=1 .oldest/bin/$(PYTEST) -m "not slow"

check: workshop
	$(WORKSHOP)/bin/ruff format --check src tests benchmarks tools
	$(WORKSHOP)/bin/ruff check src tests benchmarks tools
	$(WORKSHOP)/bin/mypy
	MYPYPATH=benchmarks:tests $(WORKSHOP)/bin/mypy --allow-untyped-defs --disable-error-code arg-type --disable-error-code operator \
	  --disable-error-code union-attr benchmarks tools

bench: workshop
	$(WORKSHOP)/bin/python benchmarks/run.py

# The pages of docs/ as a site for the browser, in build/site.
site: workshop
	$(WORKSHOP)/bin/python tools/versions.py install dev,docs
	$(WORKSHOP)/bin/python -m mkdocs build --strict

clean:
	rm -rf build demo runs .pytest_cache .mypy_cache .ruff_cache
