# `make` lists the targets. Each one sets up what it needs: a .venv with the locked dependencies.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help install demo test test-slow endurance lint format bench bench-loader dashboard repro evidence lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

install: $(READY) ## make .venv and install the locked dependencies into it (about 7 GB: torch brings CUDA)

$(READY): requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or later is needed; try: make install PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

demo: $(READY) ## kernel size x padding x pool order on handwritten digits, 32 runs or more, and the verdict
	$(BIN)/python -m pipeline.train -m experiment=demo

test: $(READY) ## the quick tests (10 to 15 minutes on two cores)
	$(BIN)/python -m pytest -n 2 --dist loadfile

# Three at a time on two cores: for close to half of their time they wait for servers, clusters and limits.
test-slow: $(READY) ## the slow tests: real servers, browsers, kills, hosts
	$(BIN)/python -m pytest -m slow -n 3 --dist worksteal

endurance: $(READY) ## the slow tests at full length: 100 interruptions, 200 runs, 10,000 overrides (over an hour)
	$(BIN)/python -m pytest -m slow --endurance -n 2 --dist worksteal

lint: $(READY) ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY) ## rewrite the code in the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY) ## speed next to a hand-written loop and plain Lightning; the demo next to its bare loops
	$(BIN)/python -m benchmarks.speed

bench-loader: $(READY) ## images/s of the augmenting loader next to the CNN that it feeds
	$(BIN)/python -m benchmarks.loader

dashboard: $(READY) ## MLflow on http://127.0.0.1:5000, open on the last sweep
	$(BIN)/python -m pipeline.dashboard

repro: $(READY) ## by DVC, what changed of the demo and the transfer
	$(BIN)/dvc repro compare report

evidence: $(READY) ## by DVC, the claims of the notes on the embedded digits (within an hour, goes on where it was stopped)
	$(BIN)/dvc repro evidence

lock: $(READY) ## resolve pyproject.toml anew into requirements.lock, for all platforms, with hashes
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --extra dev \
	  --no-emit-index-url --no-header --quiet pyproject.toml -o requirements.lock

clean: ## remove runs, prepared data, tracking and reports; keep .venv and what git has
	rm -rf runs prepared mlruns dvc_plots
	find reports -type f ! -name .gitignore ! -path '*/metrics/*' -delete
