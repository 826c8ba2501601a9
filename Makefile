# `make demo` and `make test` are all the set-up a fresh machine needs: they build the virtual
# environment when it is absent, or when pyproject.toml has changed.
#
#   make demo      train the flat and the hierarchical classifier, print how they compare
#   make test      run the tests and the examples of the documentation
#   make docs      build the documentation into docs/_build/html
#   make lint      check format, style, types and imports
#   make clean     delete what the other targets made
#
# Without a GPU, the CPU build of torch is a much smaller download:
#   make demo TORCH="torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu"

PYTHON ?= python3
VENV ?= .venv
TORCH ?= torch==2.13.0
WORKERS ?= 2

BIN := $(VENV)/bin
# Small networks train fastest on one thread; several wait for each other more than they compute,
# and where other programs want the same cores that can take many times as long.
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1

.PHONY: demo test docs lint clean

demo: $(VENV)/.installed-test
	$(ONE_THREAD) $(BIN)/python benchmarks/flat_vs_hierarchical.py

test: $(VENV)/.installed-test
	$(ONE_THREAD) $(BIN)/python -m pytest -n $(WORKERS)

docs: $(VENV)/.installed-dev
	$(ONE_THREAD) $(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

lint: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) build dist docs/_build docs/generated docs/auto_examples demo.png
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis

# The extra "dev" holds the extra "test".
$(VENV)/.installed-%: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet $(TORCH)
	$(BIN)/python -m pip install --quiet -e ".[$*]"
	touch $(VENV)/.installed-test $@
