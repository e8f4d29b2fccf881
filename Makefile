# make demo   set up and run the main job on the built-in demo
# make test   set up and pass the tests
# make results  run the comparison of all methods on the demo and rewrite docs/results.md
# make docs-check  run what the documentation tells to type
# make check  format, lint, types, import contracts and the tests marked slow
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
WORKERS ?= 2
TORCH := $(shell grep '^torch==' constraints.txt)
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo install test results check format lint types contracts slow docs-check links clean

demo: $(VENV)/.demo
	$(BIN)/curate select --budget 0.1

install: $(VENV)/.dev

test: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m "not slow" -n $(WORKERS) --dist loadfile

check: lint types contracts slow

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.dev links
	$(BIN)/mypy

contracts: $(VENV)/.dev links
	PYTHONPATH=.links $(BIN)/lint-imports

docs-check: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q tests/repository/test_docs.py tests/flows/deployments/test_deploy_page.py tests/repository/test_readme.py

slow: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m slow -n $(WORKERS) --dist loadfile

# About two hours on two cores from nothing; goes on where it was stopped.
results: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/results.py --own-epochs

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Static tools want folders named as the packages are imported.
links:
	mkdir -p .links/curate
	for room in flows selectors engines storage schemas; do ln -sfn ../../$$room .links/curate/$$room; done

# torch goes in alone and first, at its pinned version, so that nothing after it drags another build in.
$(VENV)/.demo: pyproject.toml constraints.txt
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check "$(TORCH)"
	$(INSTALL) -e ".[encoder,viz]"
	touch $@

$(VENV)/.dev: $(VENV)/.demo
	$(INSTALL) -e ".[encoder,viz,train,eval,notebook,dev]"
	touch $@

clean:
	rm -rf $(VENV) .links build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
