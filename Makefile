# `make train` is all that a bare machine needs: the first use sets .venv up, later ones do not.

VENV := .venv
OUTPUTS := outputs
PORT := 5000
ARGS :=
WORKERS := 2  # test processes, of a gigabyte each

python := $(VENV)/bin/python
# A test process that dies ends the suite: pytest-xdist 3.8 may wait for ever for its successor's.
pytest := $(python) -m pytest -n $(WORKERS) --dist loadfile --max-worker-restart 0
compiling := tests/engine tests/steps tests/losses tests/optimizers tests/hydra_plugins tests/models
installed := $(VENV)/installed.lock
bytecode := $(VENV)/bytecode.stamp
# Printed by a Python that can make the environment; any other fails or prints nothing.
suits := import ensurepip, sys; \
  print("suits" if (3, 11) <= sys.version_info[:2] < (3, 14) else "")

.DEFAULT_GOAL := help
.PHONY: help setup train test test-slow torture ui lint format lock clean store

help:  ## list the targets
	@echo 'usage: make TARGET [ARGS="..."] [PYTHON=/path/to/python3]'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(bytecode)  ## make .venv from requirements.lock (the other targets do it when needed)
	@:

train: setup  ## train; ARGS="optimizer=adam epochs=5" overrides the configuration
	@$(python) -m src.train $(ARGS)

# In two halves, in new processes: each program that XLA compiles takes some 80 memory mappings of
# its process for good, and Linux allows a process 65,530.
test: setup  ## the tests, except the slow ones; ARGS="-k name" goes to pytest
	@$(pytest) -m "not slow" $(compiling) $(ARGS) || test $$? -eq 5
	@$(pytest) -m "not slow" tests $(addprefix --ignore=,$(compiling)) $(ARGS) || test $$? -eq 5

# pytest's exit code 5: no test is marked slow, or none that ARGS selects.
test-slow: setup  ## the tests that need minutes, a browser or a data set
	@$(pytest) -m slow $(compiling) $(ARGS) || test $$? -eq 5
	@$(pytest) -m slow tests $(addprefix --ignore=,$(compiling)) $(ARGS) || test $$? -eq 5

# An hour or two on two processors; Ctrl-C prints the table so far.
torture: setup  ## kills, faults and damage by the hundred; ARGS="sections=kills kills=50 seed=1"
	@$(python) -m tests.torture $(ARGS)

lint: setup  ## ruff's rules, ruff's format, mypy's types
	@$(python) -m ruff check
	@$(python) -m ruff format --check
	@$(python) -m mypy

format: setup  ## mend what ruff can mend, and format
	@$(python) -m ruff check --fix-only --quiet
	@$(python) -m ruff format

lock: setup  ## write requirements.lock anew from pyproject.toml; ARGS=--upgrade takes newer releases
	@$(python) -m uv pip compile --quiet $(ARGS) pyproject.toml --output-file requirements.lock

# The server must not listen off loopback, nor answer to a foreign Host header, whatever the
# environment says: MLflow's and uvicorn's own variables are kept from it. It has no use for
# MLflow's job runners (processes of their own), telemetry or pickles.
ui: store setup  ## browse the runs in MLflow on http://127.0.0.1:5000; PORT=... for another port
	@echo "MLflow shows $(OUTPUTS)/mlflow.db on http://127.0.0.1:$(PORT) (Ctrl-C ends it)"
	@exec env $(addprefix -u ,$(filter MLFLOW_% _MLFLOW_% UVICORN_% FORWARDED_ALLOW_IPS,$(.VARIABLES))) \
	  MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false MLFLOW_DISABLE_TELEMETRY=true \
	  MLFLOW_ALLOW_PICKLE_DESERIALIZATION=false \
	  $(python) -m mlflow server --host 127.0.0.1 --port "$(PORT)" --workers 1 \
	  --allowed-hosts 'localhost,localhost:*,127.0.0.1,127.0.0.1:*' \
	  --backend-store-uri "sqlite:///$(OUTPUTS)/mlflow.db" \
	  --artifacts-destination "$(OUTPUTS)/artifacts"

store:
	@test -f "$(OUTPUTS)/mlflow.db" || { \
	  echo "make ui: nothing to show yet, $(OUTPUTS)/mlflow.db does not exist; 'make train' makes it" >&2; \
	  exit 1; }

clean:  ## remove .venv and all caches, never outputs
	@rm -rf $(VENV) .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@find src tests -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# A lock with a newer date and the same text (after a change of branch, say) installs nothing.
# The copy of the lock is made last, so an interrupted set-up starts over.
# setuptools comes first: antlr4-python3-runtime has no wheel, and pip would build it with a
# setuptools fetched without a hash.
$(installed): requirements.lock
	@if cmp -s requirements.lock $@ && $(python) -c '' 2>/dev/null; then touch $@; exit 0; fi; \
	set -e; rm -f $@; found=; tried=; \
	for candidate in $(or $(PYTHON),python3 python3.13 python3.12 python3.11); do \
	  if [ "$$("$$candidate" -c '$(suits)' 2>/dev/null)" = suits ]; then found=$$candidate; break; fi; \
	  version=$$("$$candidate" --version 2>/dev/null) && tried="$$tried $$candidate ($$version)"; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "make: no Python that TensorFlow has wheels for: it takes 3.11, 3.12 or 3.13, with venv" \
	    "(on Debian the package python3-venv); found:$${tried:- none}." \
	    "Name another with 'make setup PYTHON=/path/to/python3.13'." >&2; exit 1; \
	fi; \
	echo "make: setting up $(VENV) with $$("$$found" --version): about 130 packages," \
	  "some minutes the first time"; \
	"$$found" -m venv --clear $(VENV); \
	pip="$(python) -m pip --disable-pip-version-check install -qq --no-user --no-compile"; \
	sed -n '/^setuptools==/,/^ *# via/p' requirements.lock | $$pip --require-hashes -r /dev/stdin; \
	$$pip --require-hashes --no-build-isolation --use-pep517 -r requirements.lock; \
	echo "make: compiling the packages' bytecode"; \
	$(python) -m compileall -qq -j 0 $(VENV)/lib || true; \
	cp requirements.lock $@

# With PYTHONDONTWRITEBYTECODE set, Python would compile src anew at every start.
$(bytecode): $(installed) $(shell find src -name '*.py')
	@$(python) -m compileall -qq src || true
	@touch $@
