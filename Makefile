# Two commands for newcomers: `make run` (the main job on its embedded demo) and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PACKAGES := $(VENV)/.packages
STAMP := $(VENV)/.installed
TOOLS := .venv-tools
TOOLS_STAMP := $(TOOLS)/.installed

.PHONY: run test test-slow soak fuzz fuzz-short sanitize mutants mutants-short lint wheel-check pythons bench load lock
.PHONY: lock-check docs licences sbom audit release-check clean

run: $(STAMP)
	$(BIN)/tic-rates demo --output output

# Tests start many processes, so Python writes bytecode. The two of pytest fill both cores, so polars has one thread.
test: $(STAMP)
	PYTHONDONTWRITEBYTECODE= POLARS_MAX_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile

# Where there is Java, output/README.md's call for Spark is tried, too, with pyspark (450 MB); elsewhere it is skipped.
SPARK = if command -v java >/dev/null; then $(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --require-hashes \
	--build-constraints .ci/spark.lock -r .ci/spark.lock || echo "no pyspark to be had: its test is skipped" >&2; fi

test-slow: $(STAMP)
	$(SPARK)
	PYTHONDONTWRITEBYTECODE= $(BIN)/pytest -n 2 --dist loadfile -m "slow and not soak"

soak: $(STAMP)
	$(SPARK)
	TIC_RATES_SOAK=1 $(BIN)/pytest -n 2 --dist loadfile -m "soak or slow"

# Until stopped, or for FUZZ_SECONDS: the readers against each other on both cores, then every target by coverage
fuzz: $(STAMP)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --require-hashes -r .ci/fuzz.lock
	$(BIN)/python -m tests.fuzz run
	$(BIN)/python -m tests.fuzz cover

fuzz-short: $(STAMP)
	$(BIN)/python -m tests.fuzz run --seconds 60 --seed 1
	$(BIN)/python -m tests.fuzz rows --items 300000 --seed 1

# Small faults in the methodology's modules, each to be caught by a test or explained in tests/mutants/SURVIVORS.toml.
mutants: $(STAMP)
	$(BIN)/python -m tests.mutants

mutants-short: $(STAMP)
	$(BIN)/python -m tests.mutants --sample 60 --seed 1

# The C kernel under sanitizers and static analysers
sanitize: $(STAMP)
	$(BIN)/python -m tests.fuzz.sanitize

# The wheel in an empty environment, with the demo: one of `make test-slow`, and of `make release-check`
wheel-check: $(STAMP)
	$(BIN)/pytest -n 0 -m "" tests/integration/test_packaging.py

# Each Python from 3.11 to 3.14 that is here: the locked packages, the wheel, the demo and the core of the tests
pythons: $(STAMP)
	$(BIN)/python -m tests.installed

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(STAMP)
	$(BIN)/python -m tests.bench
	$(BIN)/python -m tests.bench.scale --write

load: $(STAMP)
	$(BIN)/python -m tests.bench.load

docs: $(STAMP)
	$(BIN)/python -m flows.cli.dictionary output/README.md
	$(BIN)/python -m tests.docs

# What is locked: its licences, its bill of materials, and what is publicly known against it.
licences: $(STAMP)
	$(BIN)/python -m tests.supply.licences

sbom: licences $(TOOLS_STAMP)
	$(BIN)/python -m tests.supply.sbom
	$(TOOLS)/bin/python tests/supply/check_sbom.py .ci/sbom.cdx.json

audit: $(STAMP) $(TOOLS_STAMP)
	$(BIN)/python -m tests.supply.audit

# Everything that must hold for a release, one line for each check, after the set-up of .ci/run
release-check: $(STAMP)
	.ci/run $(BIN)/python -m tests.release_check

# Afterwards `make sbom`: the tests hold its tables to the lock.
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-header \
	$(UPGRADE)
lock: UPGRADE := --upgrade
# `lock-check` writes what is missing for pyproject.toml, and leaves the locked releases as they are: a difference fails.
lock lock-check:
	$(COMPILE) --extra dev pyproject.toml -o requirements.lock
	$(COMPILE) --group pyproject.toml:supply -o .ci/tools.lock
	$(COMPILE) --group pyproject.toml:fuzz -o .ci/fuzz.lock
	$(COMPILE) --group pyproject.toml:spark -o .ci/spark.lock
	$(COMPILE) --group pyproject.toml:compiler -o .ci/compiler.lock
	$(COMPILE) --constraint requirements.lock --extra dask --extra delta pyproject.toml -o .ci/runtime.lock
	$(COMPILE) --constraint requirements.lock --constraint .ci/compiler.lock --group pyproject.toml:build -o .ci/build.lock

# --no-deps: the lock is complete, and the pip that comes with venv takes hashes only this way.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps

# uv, from the same lock, installs the rest in seconds where pip takes a minute or more; where it can't (an index that
# only pip is set up for), pip does.
$(PACKAGES): requirements.lock
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || { echo "tic-rates needs Python 3.11 or later, and $(PYTHON)" \
		"is $$($(PYTHON) --version 2>&1 | head -n 1); name a later one: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	awk '/^uv==/ {ours = 1} /^[^ ]/ && !/^uv==/ {ours = 0} ours' requirements.lock > $(VENV)/uv.lock
	$(PIP) --require-hashes -r $(VENV)/uv.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --require-hashes -r requirements.lock \
		|| $(PIP) --require-hashes -r requirements.lock
	touch $(PACKAGES)

# Installing compiles the scanner's C sources (hatch_build.py); where there is no compiler, one from the lock is installed
# for as long as that takes.
KERNEL := $(wildcard transforms/scan/scan_kernel/*.[ch]) transforms/scan/scan_kernel/stamp.py
OURS := $(PIP) --no-build-isolation -e .
# Bytecode of what a run imports, also where PYTHONDONTWRITEBYTECODE keeps Python from writing it: half of a start
COMPILE_BYTECODE := PYTHONDONTWRITEBYTECODE= $(BIN)/python
$(STAMP): $(PACKAGES) pyproject.toml hatch_build.py .ci/compiler.lock $(KERNEL)
	if $(BIN)/python -c "import hatch_build, sys; sys.exit(not hatch_build.compiler())"; then $(OURS); else \
		$(PIP) --require-hashes -r .ci/compiler.lock; \
		$(OURS) && $(BIN)/python -m pip uninstall --quiet --disable-pip-version-check --yes ziglang; fi
	$(COMPILE_BYTECODE) -m compileall -q flows transforms schemas
	$(COMPILE_BYTECODE) -c "import flows.cli.demo, flows.report.report, flows.tables.month_tables, transforms.scan.read_scan"
	touch $(STAMP)

# The tools that look at the lock live apart from what it installs.
$(TOOLS_STAMP): .ci/tools.lock $(STAMP)
	$(PYTHON) -m venv $(TOOLS)
	$(BIN)/uv pip install --quiet --python $(TOOLS)/bin/python --no-deps --require-hashes -r .ci/tools.lock \
		|| $(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r .ci/tools.lock
	touch $(TOOLS_STAMP)

clean:
	rm -rf $(VENV) $(TOOLS) .pytest_cache .mypy_cache .ruff_cache .hypothesis
