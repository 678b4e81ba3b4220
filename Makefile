# Every target does its own set-up: a fresh clone, Python 3.10 to 3.13 and make are enough.
#
#   make demo      train the examples on real data
#   make test      the suite, in parallel, without the tests marked slow
#   make test-all  everything
#   make test-plugins  the plugins, each with its framework, in an environment of their own
#   make test-no-frameworks  the plugins where none of their frameworks is installed
#   make lint      ruff and mypy;  `make format` mends what can be mended
#   make bench     timings side by side with hand-written NumPy and other libraries
#   make bench-plugins  functions compiled for torch, jax and tensorflow beside models written for them
#   make bench-training  steps of a small GPT beside PyTorch and JAX, and private gradients beside a loop
#   make docs      docs/coverage.md, from the definitions and the samples, the pictures, the notebooks
#   make docs-plugins  what the plugins' tables have, which that page shows
#   make docs-notebooks  execute docs/notebooks; copies with their outputs go to build/notebooks
#   make clean     remove the environments and everything generated

PYTHON ?= python3
VENV   := .venv
RUN    := $(VENV)/bin/python
READY  := $(VENV)/.ready

# The frameworks of the plugins are large: they have an environment of their own.
PLUGINS_VENV  := .venv-plugins
PLUGINS_READY := $(PLUGINS_VENV)/.ready
PLUGINS       := $(filter-out ./pycograd-core,$(patsubst %/pyproject.toml,./%,$(wildcard pycograd-*/pyproject.toml)))
BARE_VENV     := .venv-bare
BARE_READY    := $(BARE_VENV)/.ready

# Small arrays gain nothing from BLAS threads, and the workers of a parallel run would fight over cores.
ONE_THREAD := OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 MKL_NUM_THREADS=1
PYTEST     := $(ONE_THREAD) $(RUN) -m pytest -n auto --dist worksteal

.PHONY: demo test test-all test-plugins test-no-frameworks lint format bench bench-plugins bench-training docs docs-plugins docs-notebooks clean

demo: $(READY)
	$(ONE_THREAD) $(RUN) -m pycograd.examples

test: $(READY)
	$(PYTEST) -m "not slow" $(ARGS)

test-all: $(READY)
	$(PYTEST) --hypothesis-profile=thorough $(ARGS)

test-plugins: $(PLUGINS_READY)
	$(ONE_THREAD) $(PLUGINS_VENV)/bin/python -m pytest -n auto --dist worksteal -m "not slow" tests/plugins $(ARGS)

test-no-frameworks: $(BARE_READY)
	$(ONE_THREAD) $(BARE_VENV)/bin/python -m pytest -n auto --dist worksteal -m "not slow" tests/plugins $(ARGS)

lint: $(READY)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

format: $(READY)
	$(RUN) docs/notebooks/build.py --clean
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

bench: $(READY)
	$(RUN) benchmarks/run.py $(ARGS)

bench-plugins: $(PLUGINS_READY)
	$(PLUGINS_VENV)/bin/python benchmarks/plugins.py $(ARGS)

bench-training: $(PLUGINS_READY)
	$(PLUGINS_VENV)/bin/python benchmarks/training.py $(ARGS)

docs: $(READY) docs-notebooks
	$(ONE_THREAD) $(RUN) -m pycograd.testing.coverage docs
	$(ONE_THREAD) $(RUN) benchmarks/pictures.py docs

docs-plugins: $(PLUGINS_READY)
	$(ONE_THREAD) $(PLUGINS_VENV)/bin/python benchmarks/coverage_backends.py $(ARGS)

docs-notebooks: $(PLUGINS_READY)
	$(ONE_THREAD) $(PLUGINS_VENV)/bin/python docs/notebooks/build.py build/notebooks $(ARGS)

clean:
	rm -rf $(VENV) .venv-* build dist pycograd-*/dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Made anew whenever what it is made from changes, so nothing that was once required lingers in it.
# The version counts: an editable install records it.
$(READY): requirements-dev.txt pycograd-core/pyproject.toml pycograd-core/src/pycograd/_version.py
	$(PYTHON) -m venv --clear $(VENV)
	$(RUN) -m pip install --quiet -r requirements-dev.txt
	touch $@

$(PLUGINS_READY): requirements-plugins.txt $(wildcard pycograd-*/pyproject.toml) pycograd-core/src/pycograd/_version.py
	$(PYTHON) -m venv --clear $(PLUGINS_VENV)
	$(PLUGINS_VENV)/bin/python -m pip install --quiet -r requirements-plugins.txt
	touch $@

$(BARE_READY): $(wildcard pycograd-*/pyproject.toml) pycograd-core/src/pycograd/_version.py
	$(PYTHON) -m venv --clear $(BARE_VENV)
	$(BARE_VENV)/bin/python -m pip install --quiet -e "./pycograd-core[testing]" pytest-xdist scipy
	$(BARE_VENV)/bin/python -m pip install --quiet --no-deps $(addprefix -e ,$(PLUGINS))
	touch $@
