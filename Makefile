# make demo        install, and select examples of the built-in demo
# make test        install, and run the tests that are not marked slow
# make check       formatting, lint, types, import contracts and the slow tests
# make docs-check  run the commands of the documentation
# make results     compare all methods on the demo and rewrite the pages in docs/results/
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
WORKERS ?= 2
TORCH := $(shell grep '^torch==' constraints.txt)
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo install test results check format lint types contracts slow docs-check links clean

demo: $(VENV)/.demo
	$(BIN)/curate select --method paser --budget 0.1

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
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q tests/repository/test_docs.py tests/repository/test_python_page.py tests/flows/deployments/test_deploy_page.py tests/repository/test_readme.py

# xdist would put files of one test last, and the longest of all is among them.
slow: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m slow -n $(WORKERS) --dist loadfile --no-loadscope-reorder --durations 20

# About two hours on two cores; resumes where it was stopped.
results: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/results.py --own-epochs

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Static tools need folders with the names of the imported packages.
links:
	mkdir -p .links/curate
	for package in flows selectors engines storage schemas; do ln -sfn ../../$$package .links/curate/$$package; done

# torch is installed first and on its own, at the pinned version, so that no other package pulls in another build.
$(VENV)/.demo: pyproject.toml constraints.txt
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check "$(TORCH)"
	$(INSTALL) -e ".[encoder,viz]"
	touch $@

$(VENV)/.dev: $(VENV)/.demo
	$(INSTALL) -e ".[encoder,viz,train,eval,gguf,notebook,dev]"
	touch $@

clean:
	rm -rf $(VENV) .links build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
