# Sidereal. `make help` lists all targets. LAKE=<folder or s3 address> chooses where the tables are, with every target.
LAKE ?= lake
HOST ?= 127.0.0.1
AIRFLOW_PYTHON := .venv/airflow/bin/python
JOBS_PYTHON := .venv/jobs/bin/python
MKDOCS := NO_MKDOCS_2_WARNING=1 $(JOBS_PYTHON) -m mkdocs
export LAKE DATA FROM TO PROFILE HOST
# The environments are installed from locks; packages on PYTHONPATH must not mix with them.
unexport PYTHONPATH

.DEFAULT_GOAL := help
.PHONY: help setup check-landing run cluster cluster-test compose-init compose-test ui sql test bench lint docs docs-serve rollback clean distclean

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | while IFS="$$(printf '\t')" read -r name text; do printf '  make %-13s %s\n' "$$name" "$$text"; done

setup: ## install everything into .venv/ (other targets do this when needed); GPU=1 installs faiss for CUDA
	@bin/setup $(if $(GPU),gpu)

run: setup ## run the daily DAG for the last 3 days of simulated logs, or of DATA=<folder> [FROM= TO= PROFILE=]
	@$(AIRFLOW_PYTHON) bin/run.py

check-landing: setup ## show what ingest would make of the logs in DATA=<folder>; writes a first landing.toml if needed
	@$(JOBS_PYTHON) -m jobs.landing.check --data $(or $(DATA),$(error say which folder: make check-landing DATA=landing))

cluster: ## run the same on services: PostgreSQL, an S3 store, MLflow, a Spark cluster (docs/machines.md)
	@bin/setup cluster
	@$(AIRFLOW_PYTHON) bin/cluster.py

ui: setup ## start Airflow's web UI on 127.0.0.1 (or HOST=)
	@$(AIRFLOW_PYTHON) bin/ui.py

sql: setup ## open a Spark SQL shell on the tables
	@$(JOBS_PYTHON) -m jobs.lake.shell

rollback: setup ## make the previous ranker and generator live again
	@$(JOBS_PYTHON) -m jobs.promote --rollback --day $$(date -u +%F) >/dev/null

cluster-test: ## run a day on the services of `make cluster`, and test them
	@bin/setup cluster
	@CLUSTER_TESTS=1 OMP_NUM_THREADS=1 TEST_SPARK=classic $(JOBS_PYTHON) -m pytest $(or $(TESTS),tests/cluster)

compose-init: ## write random passwords to .env, for docker-compose.yml
	@python3 bin/compose_init.py

compose-test: setup compose-init ## build the images, run a day on the services of docker-compose.yml, and remove them
	@$(AIRFLOW_PYTHON) bin/compose_test.py

bench: setup ## run one benchmark: B=etl ARGS="--data <folder>"
	@PYTHONPATH=. $(JOBS_PYTHON) bench/$(if $(wildcard bench/$(B).py),$(B),$(error choose a benchmark: make bench B=$(shell grep -l "^def main" bench/*.py | xargs -n1 basename -s .py | paste -sd"|" -))).py $(ARGS)

test: setup ## run all tests, in two processes that share one Spark server (some of them: TESTS=tests/jobs/lake)
	@OMP_NUM_THREADS=1 $(JOBS_PYTHON) -m pytest -n 2 --dist loadgroup $(or $(TESTS),tests)

lint: setup ## check style and types
	@.venv/jobs/bin/ruff check .
	@.venv/jobs/bin/ruff format --check .
	@.venv/jobs/bin/mypy

docs: setup ## build the pages of docs/ into .state/site
	@$(MKDOCS) build --quiet --strict
	@echo "Site: .state/site/index.html"

docs-serve: setup ## show the pages of docs/ on 127.0.0.1:8000 and rebuild them when a file changes
	@$(MKDOCS) serve --quiet

clean: ## remove the tables in LAKE and the state of its runs (Airflow, simulated logs), but not the environments
	@python3 bin/clean.py

distclean: clean ## also remove the environments
	@rm -rf .venv
