# Every target makes .venv and installs what it needs first.
PYTHON ?= python3
BIN := .venv/bin
export PYTHON
# Without bytecode every process would compile torch's Python anew, for seconds; the tests start many.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo serve test test-all test-cpus check docs docs-check coverage proto bench format clean

help:                           ## this list
	@sed -n "s/^\([a-z-]*\):.*## /\1\t/p" $(MAKEFILE_LIST) | expand -t 12

demo: .venv/.installed-demo     ## stream real photographs through the service, with a live table
	$(BIN)/tta-service demo

serve: .venv/.installed-demo    ## start the service on 127.0.0.1
	$(BIN)/tta-service serve

test: .venv/.installed-dev      ## the product's own tests, without benchmarks, fleets and deployments
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile -m "not slow and not large" # a thread for each of two processes

test-all: test                  ## every test
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "slow or large"

test-cpus: .venv/.installed-dev ## the numeric tests with the kernels of other processors
	$(BIN)/python -P tests/cpus.py # -P: tests/http is not the standard http

check: .venv/.installed-dev     ## format, lint, types, import contract, generated code
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/pyright
	$(BIN)/python protos/generate.py --check
	$(BIN)/python protos/generate_sync.py --check
	$(BIN)/python protos/generate_openapi.py --check

format: .venv/.installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: .venv/.installed-dev      ## the documentation as a site, at http://127.0.0.1:8000
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

docs-check: .venv/.installed-dev ## build the site; a broken link or anchor is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

coverage: .venv/.installed-dev  ## how much of the package `make test` runs, branches too
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile -m "not slow and not large" --cov

proto: .venv/.installed-dev     ## write the generated code: both copies of the wire, the synchronous client, OpenAPI
	$(BIN)/python protos/generate.py
	$(BIN)/python protos/generate_sync.py
	$(BIN)/python protos/generate_openapi.py

bench: .venv/.installed-dev     ## the benchmarks that need no data set
	$(BIN)/python benchmarks/views.py
	$(BIN)/python benchmarks/strategies.py
	$(BIN)/python benchmarks/overhead.py

.venv/.installed-%: pyproject.toml clients/python/pyproject.toml
	@sh deploy/venv.sh $*

clean:
	rm -rf .venv .venv-proto build dist .coverage
