.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8000

$(VENV)/installed: requirements.txt requirements-dev.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

.PHONY: run
run: $(VENV)/installed ## Serve on http://localhost:8000 with an embedded DynamoDB (PORT, CHAOS_DEV_TOKEN)
	@CHAOS_DEV_TOKEN=$${CHAOS_DEV_TOKEN:-$$($(PYTHON) -c 'import secrets; print(secrets.token_urlsafe(16))')} \
	    $(BIN)/chalice local --port $(PORT)

.PHONY: test
test: $(VENV)/installed ## Every check and every test that needs nothing but pip
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/coverage run -m pytest
	$(BIN)/coverage report

.PHONY: bench
bench: $(VENV)/installed ## What one request pays
	$(BIN)/pytest tests/bench --benchmark-only --benchmark-sort=name --benchmark-columns=min,median,iqr,rounds

.PHONY: token
token: $(VENV)/installed ## Make a bearer token: STAGE=staging NAME=ada ROLE=operator
	@$(BIN)/python -m chalicelib token create --stage "$(STAGE)" --name "$(NAME)" --role "$(ROLE)"

.PHONY: format
format: $(VENV)/installed ## Format the code, and mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: lock
lock: $(VENV)/installed ## Resolve requirements.txt and requirements-dev.txt anew from pyproject.toml
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --no-annotate --custom-compile-command "make lock" pyproject.toml -o requirements.txt
	$(BIN)/uv pip compile --quiet --universal --no-annotate --custom-compile-command "make lock" -c requirements.txt --group dev pyproject.toml -o requirements-dev.txt

.PHONY: clean
clean: ## Remove what the other targets made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .benchmarks .coverage

.PHONY: help
help:
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'
