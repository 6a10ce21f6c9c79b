# The commands of GenAI Observability. Each does all its own set-up; `make` alone lists them.
# MODE=native|compose: up, status, logs, sql, backfill and down without containers or with; else with, where a Docker engine answers.
# Other ports: set their variables (PROMETHEUS_PORT=19090, …) in the environment or in a file .env; stack/settings.py lists them.

# As they are given: a $ in a query is none of make's.
export override QUERY := $(value QUERY)
export override FROM := $(value FROM)
export override TO := $(value TO)
PYTHON ?= python3
RUN := .venv/bin/python

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev demo up status logs down sql backfill preview test generate secrets check bench clients drill month lock

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

demo: setup ## Start everything, send a sample application's traffic through it, see an alert arrive
	@$(RUN) -m stack.native build
	@$(RUN) -m demo

up: setup ## Start the servers (building what is missing) and wait until they are ready
	@$(RUN) -m stack.containers up

status: setup ## Show what runs, where, and with how much memory
	@$(RUN) -m stack.containers status

logs: setup ## Show the servers' logs; SERVER=collector for one of them
	@$(RUN) -m stack.containers logs $(SERVER)

down: setup ## Stop everything; VOLUMES=1 also deletes all stored data
	@$(RUN) -m stack.containers down $(if $(filter 1,$(VOLUMES)),--volumes)

sql: setup ## Ask the warehouse: QUERY="SELECT …" for one answer, else psql, as a reader who can change nothing stored
	@$(RUN) -m stack.containers sql $(if $(value QUERY),--query "$$QUERY")

backfill: setup ## Read a gap of the warehouse again from the log store: FROM=2026-12-01T10:00 TO=2026-12-01T12:00 (UTC)
	@$(RUN) -m stack.containers backfill "$$FROM" "$$TO"

preview: setup ## Write every dashboard, with the data of now, as an HTML page, and an index of them
	@$(RUN) -m stack.preview

# Three workers whatever the machine: much of the time the tests wait for servers.
test: setup-dev ## Run every check and test, on the real servers
	@$(RUN) -m stack.native build --all
	@$(RUN) tests/system_packages.py
	@$(MAKE) --no-print-directory check
	@$(RUN) -m pytest -n 3 --dist loadfile --no-loadscope-reorder

generate: setup ## Write rules, dashboards, alert routes and the pages of reference anew from what they are made of
	@$(RUN) -m stack.alerting
	@$(RUN) -m stack.rules
	@$(RUN) -m stack.dashboards
	@$(RUN) -m stack.catalogue_page
	@$(RUN) -m stack.usage.page
	@$(RUN) -m stack.licences
	@$(RUN) -m stack.api_reference

secrets: setup ## Make the secrets that can be made, and list those that you have to put into secrets/
	@$(RUN) -m stack.secret_files

check: setup-dev ## Check style, types, and that nothing generated is stale
	@$(RUN) -m ruff check --quiet .
	@$(RUN) -m ruff format --check --quiet .
	@$(RUN) -m mypy --no-error-summary
	@found=$$(.venv/bin/lint-imports --no-logo --no-cache 2>&1) || { echo "$$found"; exit 1; }
	@$(RUN) -m stack.rules --check
	@$(RUN) -m stack.dashboards --check
	@$(RUN) -m stack.alerting --check
	@$(RUN) -m stack.catalogue_page --check
	@$(RUN) -m stack.usage.page --check
	@$(RUN) -m stack.licences --check
	@$(RUN) -m stack.api_reference --check

# For less: BENCH="--variants none,ours" HISTORY="--days 3" INGEST="--seconds 30" WAREHOUSE="--calls 500000 --days 9"
bench: setup-dev ## Measure what instrumentation adds to a model call (needs valgrind), how fast dashboards are, what the usage warehouse takes in
	@$(RUN) -m instrumentation.benchmarks $(BENCH)
	@$(RUN) -m stack.native build --all
	@$(RUN) -m stack.benchmarks $(HISTORY)
	@$(RUN) -m stack.benchmarks.ingest $(INGEST)
	@$(RUN) -m stack.benchmarks.warehouse $(WAREHOUSE)
	@$(RUN) -m instrumentation.benchmarks.instructions # the last: valgrind may be missing

# For less: CLIENTS="--only openai --only litellm"
clients: setup-dev ## Check that the newest release of every client is recorded, each call exactly once; before a release
	@$(RUN) -m instrumentation.clients $(CLIENTS)

drill: setup ## Break a demo in one way after another: who knows when, and what of (half an hour); DRILL="--only error-burst" for less
	@$(RUN) -m stack.native build
	@$(RUN) -m demo.drill $(DRILL)

month: setup ## Replay four weeks of traffic through the rules: what they tell, and what not (three quarters of an hour)
	@$(RUN) -m stack.native build --all
	@$(RUN) -m stack.replay $(MONTH)

lock: setup-dev ## Write constraints.txt anew from what is installed
	@$(RUN) -m pip freeze --exclude-editable > constraints.txt

setup:
	@$(PYTHON) -I stack/bootstrap.py

setup-dev:
	@$(PYTHON) -I stack/bootstrap.py --dev
