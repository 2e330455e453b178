# Heartline: `make up` to see it, `make test` to check it, `make help` for the rest.
# Needs Python 3.11 or later with pip, and nothing else.

SHELL := /bin/sh
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
DATA ?= .heartline
UV := uv==0.13.8
# The longest tests wait for real faults to be noticed; three at a time leave two cores half idle.
TEST_PROCESSES ?= 3

PYTHON ?= $(shell for python in python3 python3.11 python3.12 python3.13 python3.14; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

# An environment is complete when the stamp of its lock is there; the name changes with the content, so
# that a lock from another branch, newer or older, is noticed whatever the file's date says.
checksum = $(shell cat requirements/$(1).txt pyproject.toml | cksum | cut -d ' ' -f 1)
ALL := $(VENV)/.all-$(call checksum,all)
DEV := $(VENV)/.dev-$(call checksum,dev)

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.PHONY: up
up: $(ALL) ## Master, this host's agent and the dashboard, in this terminal (ARGS="--headless" …)
	@$(BIN)/heartline up --data $(DATA) $(ARGS)

.PHONY: demo
demo: $(ALL) ## The dashboard on a simulated fleet in which something is always the matter (ARGS="--nodes 50" …)
	@$(BIN)/heartline demo $(ARGS)

.PHONY: test
test: $(DEV) ## All tests (ARGS="-k name" …)
	@.ci/system-packages
	@$(BIN)/python -m pytest --numprocesses $(TEST_PROCESSES) --dist worksteal $(ARGS)

.PHONY: lint lint-style lint-format lint-mypy lint-pyright lint-imports
lint: lint-style lint-format lint-mypy lint-pyright lint-imports ## Style, types, and the direction of imports
lint-style: $(DEV)
	$(BIN)/ruff check .
lint-format: $(DEV)
	$(BIN)/ruff format --check .
lint-mypy: $(DEV)
	$(BIN)/mypy
lint-pyright: $(DEV)
	$(BIN)/pyright
lint-imports: $(DEV)
	$(BIN)/lint-imports

.PHONY: format
format: $(DEV) ## Formats the code and mends what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: docs
docs: $(DEV) ## Writes the generated parts of the documentation
	$(BIN)/python -m docs.generate

.PHONY: recording
recording: $(DEV) ## Records the demo for the documentation, in a real terminal (tmux)
	@.ci/system-packages
	$(BIN)/python -m docs.make_recording

.PHONY: soak
soak: $(DEV) ## The tests that take hours
	@.ci/system-packages
	$(BIN)/python -m pytest -m soak $(ARGS)

.PHONY: soak-detection
soak-detection: $(DEV) ## False alarms in ten node-days a row, beside other detectors; writes docs/detection.md
	$(BIN)/python -m bench.detection_soak --write $(ARGS)

.PHONY: soak-master soak-agent
soak-master: $(DEV) ## An hour of 2,000 agents that come and go: the master's memory, descriptors, tasks
	$(BIN)/python -m bench.soak_master $(ARGS)
soak-agent: $(DEV) ## A day of an agent's troubles in half an hour: its memory and descriptors
	$(BIN)/python -m bench.soak_agent $(ARGS)

.PHONY: bench bench-cost bench-bytes bench-dashboard bench-density bench-detector bench-detection bench-history
bench: bench-cost bench-bytes bench-dashboard bench-detector bench-detection bench-history ## Every figure in the documentation, measured on this machine
bench-cost: $(DEV) ## CPU and memory of the agent beside node_exporter and collectd
	$(BIN)/python -m bench.agent_cost $(ARGS)
bench-bytes: $(DEV) ## Bytes of a beat beside node_exporter's page
	$(BIN)/python -m bench.beat_bytes $(ARGS)
bench-dashboard: $(DEV) ## What the dashboard costs and how soon it answers, beside 1,000 and 10,000 nodes
	$(BIN)/python -m bench.dashboard $(ARGS)
bench-density: $(DEV) ## What a beat and a link cost the master, beside a server in C (ARGS="--links 19000 --storm" …)
	$(BIN)/python -m bench.density $(ARGS)
bench-detector: $(DEV) ## What the detector costs the master per beat
	$(BIN)/python -m bench.detector_cost $(ARGS)
bench-detection: $(DEV) ## How soon real faults of real processes are noticed (root)
	$(BIN)/python -m bench.detection $(ARGS)
bench-history: $(DEV) ## Bytes, processor time and answers of the history beside Prometheus and VictoriaMetrics
	$(BIN)/python -m bench.history $(ARGS)

.PHONY: lock
lock: ## Pins the newest versions that pyproject.toml allows, with their hashes
	rm -rf $(VENV)/lock
	$(PYTHON) -m venv $(VENV)/lock
	$(VENV)/lock/bin/pip install --quiet $(UV)
	$(call compile,agent,--group build)
	$(call compile,all,--group build --extra all)
	$(call compile,dev,--group dev --extra all)
	rm -rf $(VENV)/lock

# For every platform and every Python that the project supports, and without saying where from.
compile = UV_CUSTOM_COMPILE_COMMAND="make lock" $(VENV)/lock/bin/uv pip compile pyproject.toml $(2) --quiet \
	--upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	--output-file requirements/$(1).txt

.PHONY: wheel
wheel: $(DEV) ## Builds the distribution into dist/
	$(BIN)/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

.PHONY: clean
clean: ## Removes the environment and everything that was made
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

.PHONY: help
help: ## This
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F '|' '{printf "%-20s %s\n", $$1, $$2}'

# --- the environment -------------------------------------------------------------------------------

$(ALL): | $(BIN)/pip
	$(call install,all)
	touch $@

$(DEV): | $(BIN)/pip
	$(call install,dev)
	touch $@ $(ALL)

define install
	@echo "installing requirements/$(1).txt into $(VENV)"
	@rm -f $(VENV)/.all-* $(VENV)/.dev-*
	@$(BIN)/pip install --quiet --require-hashes --requirement requirements/$(1).txt
	@$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
endef

# Debian keeps ensurepip in a package of its own; where it is missing, the pip that is there installs pip.
$(BIN)/pip:
	@test -n "$(PYTHON)" || { echo "make: Python 3.11 or later is needed, and not on the PATH" >&2; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV) >/dev/null 2>&1 || { \
		$(PYTHON) -m venv --clear --without-pip $(VENV) && \
		$(PYTHON) -m pip --python $(BIN)/python install --quiet pip; }
