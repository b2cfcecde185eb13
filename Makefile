# Every target sets up what it needs and can be run again at any time.

PYTHON := .venv/bin/python
PYTEST := .venv/bin/pytest --durations=25
# More workers than cores: most tests wait.
WORKERS := -n 3 --dist loadscope --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help setup up test soak lint bench parts clean

help: ## show this
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## make .venv, and install Python when it is missing
	@deploy/setup

up: setup ## service and TURN server, checked; ENGINE=docker|local, PORT, TURN_PORT, EXTERNAL_IP, ONCE=1
	@$(PYTHON) -m deploy.up

test: lint parts ## lint, types and every test, with the real coturn, NAT and Docker suites
	@$(PYTEST) $(WORKERS)

soak: setup parts ## the long tests: 100,000 cases, ten-minute loads
	@SOAK=1 $(PYTEST)

lint: setup ## ruff, mypy, and compose.yaml where docker compose is there
	@.venv/bin/ruff check
	@.venv/bin/ruff format --check
	@.venv/bin/mypy
	@! docker compose version >/dev/null 2>&1 || docker compose config --quiet

bench: setup parts ## the figures of docs, measured here
	@for bench in bench/*.py; do echo "== $$bench"; $(PYTHON) "$$bench" || exit 1; done

# What the real-network tests need beside Python; says what it could not get, and never fails.
parts: setup
	@$(PYTHON) -m tests.lab.provision

clean: ## remove .venv and caches; .signalpost with its secrets stays
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
