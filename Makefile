# Two commands on a fresh machine (Python 3.11 or newer, pip, make):
#   make demo   sets up and runs the whole road on a mock sky; ends with the path of report.html
#   make test   sets up and passes the tests
# make slow runs the slow tests, make lowest the tests with the oldest dependencies, make goldens writes the goldens anew.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO_ARGS ?=
EXTRAS := sky,science,cluster,reproject,explore,dev
REFERENCES := $(CURDIR)/build/references
LOWEST := build/lowest

.PHONY: demo test slow lowest lint goldens clean

demo: $(VENV)/installed
	$(BIN)/euclidfm demo --out demo $(DEMO_ARGS)

test: $(VENV)/installed lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2

# The slow tests, and the comparisons with MAPIE and both versions of AstroPT. Those packages are never
# dependencies: they are put into folders of their own, without their requirements.
slow: $(VENV)/installed $(REFERENCES)/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist worksteal --durations 20 -m slow
	PYTHONPATH=$(REFERENCES)/now $(BIN)/python -c 'import astropt.model, mapie.regression'
	PYTHONPATH=$(REFERENCES)/now OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/interop/test_parity.py tests/tasks/test_conformal.py
	PYTHONPATH=$(REFERENCES)/first $(BIN)/python -c 'import astropt.model'
	PYTHONPATH=$(REFERENCES)/first OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/interop/test_parity.py -k version_1

# The tests with the oldest versions of the dependencies that pyproject.toml allows. Their deprecation warnings are
# about packages newer than they are. On Linux PyPI's torch of that age brings 3 GB of CUDA libraries.
lowest:
	rm -rf $(LOWEST) && $(PYTHON) -m venv $(LOWEST) && $(LOWEST)/bin/python -m pip install --quiet uv
	UV_HTTP_TIMEOUT=300 $(LOWEST)/bin/uv pip install --python $(LOWEST)/bin/python --resolution lowest-direct --editable '.[$(EXTRAS)]'
	OMP_NUM_THREADS=1 $(LOWEST)/bin/python -m pytest --numprocesses 2 -W ignore::DeprecationWarning -W ignore::FutureWarning

goldens: $(VENV)/installed
	rm -rf build/goldens && OMP_NUM_THREADS=1 $(BIN)/python tests/goldens/walk.py build/goldens tests/goldens/values.json

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$(EXTRAS)]'
	touch $@

$(REFERENCES)/installed: $(VENV)/installed $(wildcard tests/*/*-requirements.txt)
	rm -rf $(REFERENCES)
	$(BIN)/python -m pip install --quiet --no-deps --target $(REFERENCES)/now -r tests/tasks/mapie-requirements.txt -r tests/interop/astropt-requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --target $(REFERENCES)/first -r tests/interop/astropt-1-requirements.txt
	touch $@

clean:
	rm -rf $(VENV) demo build src/*.egg-info
