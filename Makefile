# Every target creates or reuses .venv and installs again only when the requirements change.
#   make demo                                    corpus, both training stages, probes, demo/report.html
#   make test BACKENDS="jax tensorflow torch"    the whole suite on the first backend,
#                                                the tests marked `backends` on each of the others,
#                                                those marked `records` in .venv-records
#   make lint                                    ruff and mypy
#   make records-env                             .venv-records, the environment that checks records

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BACKENDS ?= jax tensorflow
VENV := .venv
BIN := $(VENV)/bin
# TensorFlow Data Validation and tensorflow-io need an older TensorFlow, and Python 3.11.
RECORDS_VENV := .venv-records
# One worker for each of two cores; a file stays on one worker, and so do its fixtures.
PYTEST := $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

# Compiled JAX programs are kept between runs: compilation is most of the time on a CPU.
export JAX_COMPILATION_CACHE_DIR := $(CURDIR)/.cache/jax
export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS := 0.2
export TF_CPP_MIN_LOG_LEVEL := 2

.PHONY: demo test lint env records-env pins clean

demo: env
	KERAS_BACKEND=jax $(BIN)/python examples/demo.py --output demo

# Tests compile much and compute little: XLA leaves out LLVM's optimisations, a third of the time.
test: export XLA_FLAGS := --xla_backend_optimization_level=0
test: env records-env $(if $(filter torch,$(BACKENDS)),$(VENV)/torch.stamp)
	KERAS_BACKEND=$(firstword $(BACKENDS)) $(PYTEST)
	set -e; for backend in $(wordlist 2,$(words $(BACKENDS)),$(BACKENDS)); do \
		KERAS_BACKEND=$$backend $(PYTEST) -m backends; \
	done
	$(RECORDS_VENV)/bin/python -m pytest -m records $$(grep --recursive --files-with-matches \
		--include='test_*.py' 'mark\.records' tests)

lint: env
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

env: $(VENV)/env.stamp

records-env: $(RECORDS_VENV)/env.stamp

# $(call make-env,FOLDER,REQUIREMENTS). uv installs in seconds what pip does in minutes; where it
# cannot be had, pip does it. The requirements are complete: nothing is left to resolve.
define make-env
	$(PYTHON) -m venv $(1)
	$(1)/bin/pip install --quiet --constraint requirements/dev.txt uv || true
	$(1)/bin/uv pip install --quiet --python $(1)/bin/python --requirement $(2) \
		|| $(1)/bin/pip install --quiet --no-deps --requirement $(2)
	$(1)/bin/pip install --quiet --no-deps --no-build-isolation --editable .
	touch $(1)/env.stamp
endef

$(VENV)/env.stamp: requirements/dev.txt pyproject.toml
	$(call make-env,$(VENV),requirements/dev.txt)

$(RECORDS_VENV)/env.stamp: requirements/records.txt pyproject.toml
	$(call make-env,$(RECORDS_VENV),requirements/records.txt)

# pip, not uv: it alone honours a machine's pip settings, which may offer a build without CUDA.
$(VENV)/torch.stamp: requirements/torch.txt $(VENV)/env.stamp
	$(BIN)/pip install --quiet --requirement requirements/torch.txt
	touch $@

# Rewrites the pins within pyproject.toml's bounds, keeping every version that still fits them.
# torch resolves as for Windows, where it has no CUDA packages to pin. transformers is only tested
# against.
COMPILE := $(BIN)/uv pip compile --quiet --python-version 3.11 --no-annotate \
	--custom-compile-command "make pins"
pins: env
	$(COMPILE) --extra dev --output-file requirements/dev.txt pyproject.toml
	$(COMPILE) --constraint requirements/dev.txt --output-file requirements/base.txt pyproject.toml
	printf 'torch\ntransformers\n' | $(COMPILE) --constraint requirements/dev.txt --python-platform windows \
		--output-file requirements/torch.txt -
	$(COMPILE) --output-file requirements/records.txt requirements/records.in

clean:
	rm -rf .cache .mypy_cache .pytest_cache .ruff_cache $(VENV) $(RECORDS_VENV) *.egg-info build demo dist
