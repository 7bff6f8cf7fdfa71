# Every target sets up what it needs by itself: Python 3.11 or newer and pip are enough.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
K      ?=
ROOT   ?= data
ROWS   ?=
# Versions of a new environment; constraints-min.txt for the oldest, empty for the newest:
CONSTRAINTS ?= constraints.txt
export HF_HUB_OFFLINE ?= 1

.PHONY: predict test test-slow test-pythons fuzz docs test-docs lint minimum-versions map table picture sheets bench

$(VENV)/.ready: pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check $(if $(CONSTRAINTS),-c $(CONSTRAINTS)) -e ".[dev]"
	touch $@

predict: $(VENV)/.ready          ## maps and overlays of sample images in predictions/
	$(BIN)/python examples/predict_samples.py

test: $(VENV)/.ready             ## all tests but the slow ones; K=salgan for those of one model
	$(BIN)/python -m pytest -m "not slow" -n auto --maxprocesses 4 --dist loadfile $(if $(K),-k $(K))

test-slow: $(VENV)/.ready        ## the slow ones: whole runs, several processes, a built wheel
	$(BIN)/python -m pytest -m slow -n auto --maxprocesses 4 --dist loadfile $(if $(K),-k $(K))

lint: $(VENV)/.ready             ## style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

test-pythons:                    ## make test on each promised Python with the newest libraries, then with the oldest
	for version in 3.11 3.12 3.13; do \
		$(MAKE) test PYTHON=python$$version VENV=.venv-$$version CONSTRAINTS= || exit 1; \
	done
	PYTEST_ADDOPTS="-o filterwarnings=default" $(MAKE) test PYTHON=python3.11 VENV=.venv-min CONSTRAINTS=constraints-min.txt

fuzz: $(VENV)/.ready             ## the fuzzers of tests/fuzz for minutes instead of seconds, with new seeds
	SALZOO_FUZZ=minutes $(BIN)/python -m pytest tests/fuzz -n auto --maxprocesses 4 $(if $(K),-k $(K))

test-docs: $(VENV)/.ready        ## the examples in README, docs, CONTRIBUTING, examples/ and docstrings
	$(BIN)/python -m pytest tests/test_readme.py tests/test_contributing.py tests/test_examples.py salzoo

docs: $(VENV)/.ready             ## the documentation site in site/; open site/index.html
	$(BIN)/python docs/generate
	$(BIN)/zensical build --clean --strict --config-file build/docs/mkdocs.yml
	rm -rf site
	mv build/docs/site site

minimum-versions: $(VENV)/.ready ## constraints-min.txt: the oldest versions that pyproject.toml declares
	$(BIN)/python tests/minimum_versions.py

map: $(VENV)/.ready              ## check the floors, write the map of rooms into CONTRIBUTING.md
	$(BIN)/python tests/architecture.py

table: $(VENV)/.ready            ## measure checkpoints (ROOT=folder of osie, eyecrowd, scene500; ROWS=some): cards, README, docs
	$(BIN)/python benchmarks/table.py --root $(ROOT) $(ROWS)

picture: $(VENV)/.ready          ## the figure in the README
	$(BIN)/python benchmarks/picture.py

sheets: $(VENV)/.ready           ## overlays on eight images for each card; ROWS="quest mlnet" for some models
	$(BIN)/python benchmarks/sheets.py $(ROWS)

bench: $(VENV)/.ready            ## speed
	$(BIN)/python benchmarks/predict.py
