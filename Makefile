# Two commands on a fresh machine (Python 3.11 or newer, pip, make):
#   make demo   sets up and runs the whole road on a mock sky; ends with the path of report.html
#   make test   sets up and passes the tests
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO_ARGS ?=

.PHONY: demo test slow lint goldens clean

demo: $(VENV)/installed
	$(BIN)/euclidfm demo --out demo $(DEMO_ARGS)

test: $(VENV)/installed lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2

slow: $(VENV)/installed
	$(BIN)/python -m pytest -m slow

goldens: $(VENV)/installed
	rm -rf build/goldens && OMP_NUM_THREADS=1 $(BIN)/python tests/goldens/walk.py build/goldens tests/goldens/values.json

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[sky,science,cluster,reproject,explore,dev]'
	touch $@

clean:
	rm -rf $(VENV) demo build src/*.egg-info
