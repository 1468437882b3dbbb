# Sidereal: `make help` lists what can be done. LAKE=<folder or s3 address> with any of it chooses where the tables live.
LAKE ?= lake
HOST ?= 127.0.0.1
AIRFLOW_PYTHON := .venv/airflow/bin/python
JOBS_PYTHON := .venv/jobs/bin/python
export LAKE DATA FROM TO PROFILE HOST
# The environments come from locks; what else lies on PYTHONPATH must not get in.
unexport PYTHONPATH

.DEFAULT_GOAL := help
.PHONY: help setup run ui sql test test-days test-rest bench lint rollback clean distclean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | while IFS="$$(printf '\t')" read -r name text; do printf '  make %-10s %s\n' "$$name" "$$text"; done

setup: ## install everything under .venv/ (done by the others when needed); GPU=1 for faiss on CUDA
	@bin/setup $(if $(GPU),gpu)

run: setup ## the daily DAG over the last 3 days of simulated logs, or of DATA=<folder> [FROM= TO= PROFILE=]
	@$(AIRFLOW_PYTHON) bin/run.py

ui: setup ## Airflow's web UI on 127.0.0.1 (or HOST=), with the DAG in it
	@$(AIRFLOW_PYTHON) bin/ui.py

sql: setup ## a Spark SQL shell on the tables
	@$(JOBS_PYTHON) -m jobs.lake.shell

rollback: setup ## restore the release before
	@$(JOBS_PYTHON) -m jobs.promote --rollback --day $$(date -u +%F) >/dev/null

bench: setup ## one bench: B=etl ARGS="--data <folder>"
	@PYTHONPATH=. $(JOBS_PYTHON) bench/$(if $(wildcard bench/$(B).py),$(B),$(error say which: make bench B=$(shell grep -l "^def main" bench/*.py | xargs -n1 basename -s .py | paste -sd"|" -))).py $(ARGS)

test: setup ## all tests, in two processes: those that run whole days, and the rest
	@OMP_NUM_THREADS=1 $(MAKE) --no-print-directory -j2 test-days test-rest

test-days:
	@$(JOBS_PYTHON) -m pytest -m days tests

test-rest:
	@$(JOBS_PYTHON) -m pytest -m "not days" tests

lint: setup ## style and types
	@.venv/jobs/bin/ruff check .
	@.venv/jobs/bin/ruff format --check .
	@.venv/jobs/bin/mypy

clean: ## remove the tables in LAKE and the state of its runs (Airflow, simulated logs); environments stay
	@python3 bin/clean.py

distclean: clean ## remove the environments as well
	@rm -rf .venv
