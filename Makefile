# `make help` lists the targets; the text behind ## is the help.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEV := $(VENV)/.dev
NATIVE := $(wildcard agent/heapwatch/_sampler/*.[ch] agent/heapwatch/_native/*.[ch]) CMakeLists.txt
ARGS ?=
SEED ?= 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help install page demo test test-versions lint types contracts docs docs-check wheel bench bench-sampler stress soak clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Heapwatch needs Python >= 3.11; set PYTHON=... (found $$($(PYTHON) --version))"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'

$(READY): $(BIN)/python pyproject.toml $(NATIVE)
	@echo "installing Heapwatch with everything the demo needs into $(VENV) ..."
	$(BIN)/python -m pip install --quiet --editable '.[all]'
	@touch $(READY)

$(DEV): $(READY)
	@echo "installing what the tests and lints need into $(VENV) ..."
	$(BIN)/python -m pip install --quiet --editable . --group dev
	@touch $(DEV)

install: $(READY) ## set up .venv with the product (editable) and its native code

page: $(READY) ## build the web page (with the machine's node, or the one from PyPI)
	$(BIN)/python collector/heapwatch_collector/web/build.py

demo: $(READY) page ## run the whole product on the reference app with a real leak; ARGS="--once --fault cache"
	@$(BIN)/heapwatch demo $(ARGS)

test: $(DEV) page ## install what the tests need and run them all; ARGS="-k name" chooses, SEED=default shuffles anew
	sh tests/debian-packages
	$(BIN)/python -m pytest --randomly-seed=$(SEED) $(ARGS)

test-versions: ## run the agent's tests on every CPython found (3.11, 3.12, 3.13)
	sh tests/every-python $(ARGS)

lint: $(DEV) ## ruff: style and mistakes
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(DEV) ## mypy --strict and pyright
	$(BIN)/mypy
	$(BIN)/mypy -p benchmarks
	$(BIN)/pyright --pythonpath $(BIN)/python

contracts: $(DEV) ## import contracts between the rooms
	$(BIN)/lint-imports

docs: $(READY) ## write the generated pages of docs/
	$(BIN)/python docs/generate.py

docs-check: $(DEV) ## fail when a generated page or a link in the docs is stale
	$(BIN)/python docs/generate.py --check

stress: $(DEV) ## stress the sampler on builds with checks and sanitizers; ARGS="--minutes 5"
	$(BIN)/python -m tests.safety.stress $(ARGS)

soak: $(DEV) ## hours of a busy service's churn: is the agent's own memory flat? ARGS="--minutes 120"
	$(BIN)/python -m benchmarks.soak $(ARGS)

wheel: $(DEV) page ## build the wheel into dist/
	$(BIN)/python -m build --wheel --outdir dist .

bench: bench-sampler ## run the benchmarks of the sampler

bench-sampler: $(DEV) ## what the sampler costs and how exact it is, beside its peers (hours); ARGS="--only accuracy"
	$(BIN)/python -m benchmarks.sampler $(ARGS)
	$(BIN)/python docs/generate.py

clean: ## remove what was built and installed
	rm -rf $(VENV) build dist collector/heapwatch_collector/web/dist collector/heapwatch_collector/web/node_modules
