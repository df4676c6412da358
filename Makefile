# `make run` starts everything with a simulated market, `make test` runs the tests. Both need only
# make and Python 3.11 or newer with venv: packages go into .venv, settings into .env.
#   make run ARGS="--host 0.0.0.0"    pass options to manage.py serve
#   make test ARGS="-k bridge"        pass options to pytest
#   make test ARGS="-n 0"             run the tests one by one
#   make chaos ARGS="--short"         a minute of faults; --list names all
#   make setup PYTHON=python3.13      use this Python
VENV := .venv
BIN := $(VENV)/bin
PYTHONS := $(if $(PYTHON),"$(PYTHON)",python3 python3.14 python3.13 python3.12 python3.11)
# Two processes for each CPU, since tests wait half of the time (tests/environment.py); each runs
# whole files and starts a Redis of its own.
PARALLEL := -n auto --dist loadfile --no-loadscope-reorder
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input

# Without compiled modules, which some machines forbid, each process starts half a second later.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run test check bench chaos parquet screenshots speedups charts env setup setup-dev
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

help:
	@echo "make run    install packages, migrate, start everything with a simulated market"
	@echo "make test   install packages and run all tests (ARGS=\"-k bridge\" for some)"
	@echo "make check  check format, lint, types, Django settings and migrations"
	@echo "make bench  run all benchmarks (BENCH=name for one)"
	@echo "make parquet   install what Arrow and Parquet need"
	@echo "make speedups  build the optional package in C (needs a compiler and Python's headers)"
	@echo "make charts  download what draws the dashboard's charts (make run does it, too)"
	@echo "make screenshots  take the pictures of README again"
	@echo "make chaos  put faults into a running service, check its promises (ARGS=--list)"

# Rebuild a .venv whose Python no longer runs (a moved folder, an upgraded system).
ifneq ($(wildcard $(VENV)/.created),)
ifneq ($(shell $(BIN)/python -c 'print(1)' 2>/dev/null),1)
$(shell rm -f $(VENV)/.created)
endif
endif

$(VENV)/.created:
	@if $(BIN)/python -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	  exit; \
	fi; \
	for python in $(PYTHONS); do \
	  if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    found=$$python; break; \
	  fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "Install Python 3.11 or newer, or pass its path: make PYTHON=/path/to/python3.11" >&2; \
	  echo '(tried: $(PYTHONS))' >&2; exit 1; \
	fi; \
	if ! "$$found" -c 'import ensurepip, venv' 2>/dev/null; then \
	  echo "Install venv for $$found (Debian, Ubuntu: apt install python3-venv)" >&2; \
	  exit 1; \
	fi; \
	"$$found" -m venv --clear $(VENV)
	@touch $@

$(VENV)/.installed: requirements.txt | $(VENV)/.created
	@echo "installing the server's packages into $(VENV) (about a minute the first time)"
	@$(INSTALL) -r requirements.txt
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(wildcard requirements*.txt) | $(VENV)/.created
	@echo "installing the packages of server and tests into $(VENV) (about a minute the first time)"
	@$(INSTALL) -r requirements-dev.txt
	@touch $(VENV)/.installed $@

env: | $(VENV)/.created
	@$(BIN)/python -m config.env_file

# What draws the dashboard's charts. Without a network the server starts without it.
CHARTS := quotes/screens/static/screens/vendor/lightweight-charts-5.2.1.js

$(CHARTS): | $(VENV)/.installed env
	@umask 022 && $(BIN)/python manage.py get_charts || true

charts: $(CHARTS)

setup: $(VENV)/.installed env $(CHARTS)

setup-dev: $(VENV)/.installed-dev env

run: setup
	@umask 077 && $(BIN)/python manage.py migrate --verbosity 0
	@umask 077 && $(BIN)/python manage.py migrate --database history --verbosity 0
	@umask 077 && exec $(BIN)/python manage.py serve --demo $(ARGS)

test: setup-dev
	@$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

check: setup-dev
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m ruff check .
	$(BIN)/python -m mypy .
	$(BIN)/lint-imports --no-logo
	$(BIN)/python manage.py check --fail-level WARNING
	$(BIN)/python manage.py makemigrations --check --dry-run

bench: setup-dev
	@$(BIN)/python -m benchmarks $(BENCH)

chaos: setup-dev
	@$(BIN)/python -m benchmarks.chaos $(ARGS)

parquet: setup
	@$(INSTALL) -r requirements-parquet.txt
	@echo "installed; a running server uses it at once"

screenshots: setup-dev $(CHARTS)
	@$(BIN)/python -m benchmarks.screenshots $(ARGS)

speedups: setup
	@$(INSTALL) --force-reinstall --no-deps ./speedups
	@$(BIN)/python -c 'import quotes_speedups' && echo "built; restart the server to use it"
