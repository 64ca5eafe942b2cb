# Every target sets up what it needs in .venv first, and skips what is already there.
# `make` alone lists the targets.

VENV   := .venv
PYTHON ?=# an interpreter to use in place of the one that is found
ARGS   :=# more arguments for pytest: make test ARGS="-k join -x"

# Faults, clusters of several nodes, and programs that run for long: `make test` stays short without
# them, and without the many tests of datasets, which `make test-data` runs.
APART := tests/cluster/faults tests/cluster/nodes tests/cluster/soak
DATA  := tests/data

pip_install := $(VENV)/bin/python -m pip install --disable-pip-version-check -c constraints.txt

# Starting a cluster is mostly importing; bytecode halves that, and where the environment forbids
# Python to write it on the way (PYTHONDONTWRITEBYTECODE) it would never be there.
compile := @$(VENV)/bin/python -m compileall -q air backends

.DEFAULT_GOAL := help
# One set-up at a time in one .venv, also under `make -j`.
.NOTPARALLEL:
.PHONY: help setup quickstart test test-data test-cluster test-torch test-tensorflow test-fast lint format types imports check pins clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

quickstart: $(VENV)/.quickstart ## Run the main job: load, prepare, train, tune, predict
	$(VENV)/bin/python examples/quickstart.py

setup: $(VENV)/.dev ## Make .venv with everything that the targets below use

test: $(VENV)/.dev ## Run the tests, but those of the next two
	$(VENV)/bin/python -m pytest $(APART:%=--ignore=%) $(DATA:%=--ignore=%) $(ARGS)

test-data: $(VENV)/.dev ## Run the tests of datasets
	$(VENV)/bin/python -m pytest $(DATA) $(ARGS)

test-cluster: $(VENV)/.dev ## Run the libraries' tests on the cluster, of faults and of several nodes
	$(VENV)/bin/python -m pytest $(DATA) tests/train tests/tune $(APART) --backend=cluster $(ARGS)

test-torch: $(VENV)/.torch ## Install torch and torchvision, and run the tests that need them
	$(VENV)/bin/python -m pytest -m torch tests/executor $(DATA) tests/train tests/test_examples.py tests/cluster $(APART:%=--ignore=%) $(ARGS)
	$(VENV)/bin/python -m pytest -m torch tests/train --backend=cluster $(ARGS)

test-tensorflow: $(VENV)/.tensorflow ## Install TensorFlow, and run the tests that need it
	$(VENV)/bin/python -m pytest -m tensorflow tests/data $(ARGS)

test-fast: $(VENV)/.dev ## Run the tests that are not marked slow
	$(VENV)/bin/python -m pytest -m "not slow" $(APART:%=--ignore=%) $(ARGS)

lint: $(VENV)/.dev ## Check style and formatting
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check

format: $(VENV)/.dev ## Format the code and apply the safe fixes
	$(VENV)/bin/ruff check --fix
	$(VENV)/bin/ruff format

types: $(VENV)/.dev ## Check types
	$(VENV)/bin/mypy

imports: $(VENV)/.dev ## Check the import contracts
	$(VENV)/bin/lint-imports

check: test test-data test-cluster lint types imports ## Run the tests on both backends, lint, types and imports

pins: ## Resolve the newest versions that pyproject.toml allows into constraints.txt
	rm -rf $(VENV)-pins
	$(call make_venv,$(VENV)-pins)
	$(VENV)-pins/bin/python -m pip install --disable-pip-version-check -e ".[dev]"
	{ sed '/^# --- resolved/q' constraints.txt; $(VENV)-pins/bin/python -m pip freeze --exclude-editable; } > constraints.new
	mv constraints.new constraints.txt
	rm -rf $(VENV)-pins

clean: ## Remove .venv and everything that the tools wrote
	rm -rf $(VENV) $(VENV)-pins build dist
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find air backends examples tests -name __pycache__ -type d -prune -exec rm -rf {} +

# --- set-up ------------------------------------------------------------------------------------
# A stamp is written last, so an interrupted set-up is taken up again. pip is the last thing that
# `python -m venv` puts in place, hence the target of that rule.

$(VENV)/.quickstart: pyproject.toml constraints.txt | $(VENV)/bin/pip
	@echo '==> Installing airloom with what the quickstart uses into $(VENV)'
	$(pip_install) -e '.[quickstart]'
	$(compile)
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/pip
	@echo '==> Installing airloom with the development tools into $(VENV)'
	$(pip_install) -e '.[dev]'
	$(compile)
	@touch $(VENV)/.quickstart $@

$(VENV)/.torch: $(VENV)/.dev
	@echo '==> Installing torch and torchvision into $(VENV)'
	$(pip_install) torch torchvision
	@touch $@

$(VENV)/.tensorflow: $(VENV)/.dev
	@echo '==> Installing TensorFlow into $(VENV)'
	$(pip_install) tensorflow-cpu
	@touch $@

$(VENV)/bin/pip:
	$(call make_venv,$(VENV))

# $(call make_venv,DIR): a virtual environment in DIR, made by PYTHON, or else by the first
# interpreter that is new enough. 3.11 comes first because the pins are resolved and tested with it.
define make_venv
@set -eu; \
for candidate in $(or $(PYTHON),python3.11 python3.12 python3.13 python3 python); do \
    "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
    python=$$(command -v "$$candidate"); \
    if "$$python" -c 'import ensurepip, venv' 2>/dev/null; then usable=yes; break; fi; \
done; \
if [ -z "$${python:-}" ]; then \
    echo "airloom needs Python 3.11 or newer; $(if $(PYTHON),$(PYTHON) is none,none was found on PATH)." >&2; \
    echo "Install one, or name it: make PYTHON=/path/to/python3.11 ..." >&2; \
    exit 1; \
fi; \
if [ -z "$${usable:-}" ]; then \
    echo "$$python cannot make virtual environments: its module 'ensurepip' is missing." >&2; \
    echo "On Debian and Ubuntu it is installed by: apt-get install python3-venv" >&2; \
    exit 1; \
fi; \
echo "==> Making $(1) with $$python ($$("$$python" --version))"; \
"$$python" -m venv --clear $(1)
endef
