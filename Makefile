# Two commands do everything on a machine with make and Python 3.10 to 3.13: `make demo` and `make test`.
# Each installs what it needs into .venv once; a second call starts at once.

# The interpreter: the first of these that is new enough and not too new. Name your own with `make demo PYTHON=...`.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.10 python; do \
	if $$p -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then echo $$p; break; fi; done)

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install -qq -c constraints.txt
INPUTS := pyproject.toml constraints.txt

# Processes that share the tests of the CPU. Each keeps two threads, so that parallel loops are tested as such.
JOBS ?= 2
PYTEST_THREADS := OMP_NUM_THREADS=2 OMP_WAIT_POLICY=passive

.PHONY: help demo install test check format bench clean

help:
	@echo "make demo     install, run each system on data with a known answer, write demo/report.html"
	@echo "make test     install, run every test"
	@echo "make check    formatting, lints and types; make format mends the first two where it can"
	@echo "make bench    install the competitors, measure every op, write benchmarks/results/"
	@echo "make clean    remove .venv and caches"

demo: $(VENV)/installed
	$(BIN)/neurorbit demo

install: $(VENV)/installed

# One process tree for the CPU; the Triton kernels under the interpreter in a process of their own, because the variable
# is read once, when a kernel is decorated.
test: $(VENV)/installed-dev
	@if $(BIN)/python -c 'import triton' 2>/dev/null; then \
	  echo "== Triton kernels under the interpreter"; \
	  TRITON_INTERPRET=1 $(PYTEST_THREADS) $(BIN)/python -m pytest -q -n $(JOBS) -m "not gpu" tests/kernels/interpreter; \
	else echo "== Triton kernels under the interpreter: not run, triton is not installed on this platform"; fi
	@echo "== everything else"
	$(PYTEST_THREADS) $(BIN)/python -m pytest -q -n $(JOBS)

check: $(VENV)/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy -p neurorbit.bindings -p neurorbit.engine
	$(BIN)/mypy benchmarks

format: $(VENV)/installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/installed-bench
	$(BIN)/python -m benchmarks all
	$(BIN)/python -m benchmarks table

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The build tools come pinned too, so nothing outside constraints.txt decides what is installed.
$(VENV)/tools: $(INPUTS)
	@if [ -z "$(PYTHON)" ]; then \
	  echo "error: neurorbit needs Python 3.10 to 3.13, found: $$(python3 --version 2>&1); install one, or name it: make PYTHON=/path/to/python3.12" >&2; exit 1; fi
	@if [ ! -x $(BIN)/python ]; then \
	  echo "creating $(VENV) with $(PYTHON) and installing; minutes on a fresh machine"; \
	  $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "error: $(PYTHON) -m venv failed: on Debian and Ubuntu, apt install python3-venv" >&2; exit 1; }; fi
	@$(PIP) hatchling editables
	@touch $@

$(VENV)/installed: $(VENV)/tools
	@$(PIP) --no-build-isolation -e .
	@touch $@

$(VENV)/installed-dev: $(VENV)/tools
	@$(PIP) --no-build-isolation -e '.[dev]'
	@touch $@ $(VENV)/installed

$(VENV)/installed-bench: $(VENV)/tools
	@$(PIP) --no-build-isolation -e '.[dev,bench]'
	@touch $@ $(VENV)/installed-dev $(VENV)/installed
