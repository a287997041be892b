# make run | test | bench | check | pictures — each sets up what it needs first.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help

help:  ## Show the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*##/ { printf "%-15s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(VENV)/.ready: pyproject.toml requirements.lock
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is missing: install Python 3.11, or name another with make PYTHON=python3.13" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $@

setup: $(VENV)/.ready  ## Make the virtual environment

run: setup  ## Servers, Dagster and demo clicks; ARGS="--events 5000 --exit" and the like
	@$(BIN)/clickstream run $(ARGS)

browser: setup  ## Chromium, which the tests look at Dagster's pages with: Debian's, installed if root may; or CHROMIUM=PATH
	@$(BIN)/python -m clickstream_assets_tests.browser.chromium

test: setup browser  ## Every test, those on real servers included; ARGS="-k name" and the like
	@$(BIN)/python -m clickstream_assets_tests $(ARGS)

test-fast: setup  ## Tests that start no server and no process, in a minute
	@$(BIN)/python -m pytest -m "not slow" $(ARGS)

bench: setup  ## Rates of every stage beside their yardsticks, 25 min; ARGS=--quick (2 to 3 min), --long (an hour), --page, "--day EVENTS" or "--live RATE MINUTES FILL"
	@$(BIN)/python -W ignore -m benchmarks $(ARGS)

check: setup  ## Format, lint, types, definitions
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	PYTHONWARNINGS=ignore $(BIN)/dg check defs

k8s-check: setup  ## Ask a Kubernetes API server whether it takes k8s/; KUBECONFIG names the cluster
	@$(BIN)/python -W ignore -m clickstream_assets_tests.k8s.check

security-check: setup  ## Every way to sign in to each server, and what is told where it fails: a table, from real servers
	@$(BIN)/python -W ignore -m clickstream_assets_tests.security.check

pictures: setup browser  ## The README's pictures of Dagster's pages, after MINUTES=5 of demo
	@$(BIN)/python -W ignore -m clickstream_assets_tests.browser.pictures --minutes $(or $(MINUTES),5)

lock: setup  ## Write requirements.lock by pyproject.toml; ARGS=--upgrade for the newest packages
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --generate-hashes --no-header \
		--no-annotate --no-emit-index-url $(ARGS) --output-file requirements.lock pyproject.toml

lock-jars: setup  ## Write jars.lock by products.py: what the servers are made of is fetched afresh and hashed, some minutes
	@$(BIN)/python -m supply_chain.lock_jars

sbom: setup  ## Write the bill of materials, CycloneDX: SBOM=build/sbom.cdx.json
	@$(BIN)/python -m supply_chain.sbom $(or $(SBOM),build/sbom.cdx.json)

clean:  ## Delete the virtual environment and all that runs have written
	rm -rf $(VENV) build .clickstream .mypy_cache .ruff_cache .pytest_cache .hypothesis

.PHONY: help setup run browser test test-fast bench check k8s-check security-check pictures lock lock-jars sbom clean
