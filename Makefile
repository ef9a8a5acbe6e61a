# Two commands: `make quickstart` and `make test`. Both create .venv first. Requirements: Python 3.11 or later,
# git and make.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin

.PHONY: quickstart test test-long gpu docs check setup clean

quickstart: setup
	$(BIN)/nastool quickstart

test: setup
	PATH="$(CURDIR)/$(BIN):$$PATH" scripts/check

test-long: setup
	$(BIN)/python -m pytest -n 2 --dist loadscope --no-loadscope-reorder -m long $(PYTEST_ARGS)

# on a machine with an NVIDIA GPU: tests and short benchmarks, under ten minutes (docs/gpu.md)
gpu:
	scripts/gpu $(if $(WHEELS),--wheels $(WHEELS))

# the documentation as a site in site/, its links checked
docs: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	$(BIN)/python scripts/build-docs

setup: .venv/installed

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.14.1 torchvision==0.29.1
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv
