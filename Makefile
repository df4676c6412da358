# `make run` gets prices moving, `make test` passes the tests. Both need Python 3.11+ with venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test check bench setup
.DEFAULT_GOAL := help

help:
	@echo "make run    install, migrate and start everything with a simulated market"
	@echo "make test   install and run the whole test suite"
	@echo "make check  format, lint, types, Django checks, missing migrations"
	@echo "make bench  the benchmarks (BENCH=name for one)"

$(VENV)/.installed: requirements.txt requirements-dev.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

.env:
	@$(PYTHON) -c 'import secrets; text = open(".env.example").read(); print(text.replace("SECRET_KEY=\n", "SECRET_KEY=" + secrets.token_urlsafe(50) + "\n"), end="")' > $@
	@chmod 600 $@
	@echo "wrote .env with a fresh secret key"

setup: $(VENV)/.installed .env

run: setup
	@$(BIN)/python manage.py migrate --verbosity 0
	@exec $(BIN)/python manage.py serve --demo

test: setup
	$(BIN)/python -m pytest $(ARGS)

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy .
	$(BIN)/python manage.py check --fail-level WARNING
	$(BIN)/python manage.py makemigrations --check --dry-run

bench: setup
	$(BIN)/python -m benchmarks $(BENCH)
