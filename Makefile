# The commands of this project; continuous integration calls the same ones.
# On a new Debian or Ubuntu machine: apt-get install -y git make python3-venv

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
# Where it is set, every start of a program compiles everything again: seconds, hundreds of times in the tests.
unexport PYTHONDONTWRITEBYTECODE

PY := .venv/bin/python
CODE := $(wildcard src tests bench demo devtools migrations tools)
TYPED := $(wildcard src tests bench demo devtools)
# Parts whose tests reach every line and branch, because a gap there is a hole.
COMPLETE := domain/keys
covered = report=$$($(PY) -m pytest -q -n 0 tests/$(1) --cov=src/decent_cloud/$(1) --cov-fail-under=100) || { echo "$$report"; exit 1; }
FAST := not slow and not docker and not postgres and not journey

.PHONY: help demo dev check test bench migration driver lock clean python system vm format-check lint types imports fast

help: ## Show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: python system ## Rent a real machine from end to end (KEEP=1 leaves it running to try things)
	@exec $(PY) demo/run.py $(if $(KEEP),--keep)

dev: python system ## Run the platform and a provider's agent to develop against
	@exec $(PY) demo/run.py --keep --dev

check: python ## Format, lint, types, imports and the fast tests, in less than a minute
	@$(MAKE) -j2 --output-sync=target format-check lint types imports fast

test: python system vm ## Everything: what `check` does, then every test; and that the keys' tests reach all of their code
	@$(MAKE) format-check lint types imports
	@$(PY) -m pytest -q -n 3 --dist loadfile -m "not docker" $(ARGS) || [ $$? = 5 ] # 5: ARGS chose none
	@$(PY) -m pytest -q -m docker $(ARGS) || [ $$? = 5 ] # one after the other: there is one engine
	@$(if $(ARGS),,$(foreach part,$(COMPLETE),$(call covered,$(part));))

bench: python system ## Measure; a table, and build/bench.json (ONLY=group runs one group)
	@exec $(PY) -m bench $(ONLY)

migration: python ## Start a schema step: make migration NAME="add payouts"
	@test -n "$(NAME)" || { echo 'say what it does: make migration NAME="add payouts"' >&2; exit 2; }
	@$(PY) -m alembic -c migrations/alembic.ini revision -m "$(NAME)"

driver: python ## Start a backend driver, with its kit test and page: make driver NAME=mycloud
	@$(PY) tools/new_driver "$(NAME)"

lock: python ## Pin the newest versions again (ARGS=--upgrade moves every pin)
	@tools/lock $(ARGS)

clean: ## Remove all that can be made again
	@rm -rf build dist .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	@find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# --- parts ---

python:
	@tools/bootstrap python

system:
	@tools/bootstrap system

vm:
	@tools/bootstrap vm

format-check:
	@$(PY) -m ruff format --quiet --check --output-format concise $(CODE) || { echo "to mend: .venv/bin/ruff format" >&2; exit 1; }

lint:
	@$(PY) -m ruff check --quiet $(CODE)

types:
	@$(PY) -m mypy --no-error-summary $(TYPED)

imports:
	@report=$$(.venv/bin/lint-imports --no-logo) || { echo "$$report"; exit 1; }

fast:
	@$(PY) -m pytest -q -n 2 --dist worksteal -m "$(FAST)" $(ARGS)
