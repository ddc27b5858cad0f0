# Two commands are all: `make demo` (no torch) and `make test`. The targets make their own virtual environment in .venv.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt

.PHONY: demo test check bench mutants build clean clean-kernels weights
.DELETE_ON_ERROR:

demo: $(VENV)/.demo
	$(BIN)/robostral demo

test: $(VENV)/.dev
	$(BIN)/pytest

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest -q tests/laws

bench: $(VENV)/.dev
	$(PIP) -e '.[bench]'
	$(BIN)/robostral bench kinematics --json bench-kinematics.json

# Change one thing in the guard's code at a time and see whether a test notices.
mutants: $(VENV)/.dev
	$(PIP) -e '.[mutants]'
	nice -n 15 $(BIN)/robostral guard mutants --json guard-mutants.json

# Remake the open weights: train, evaluate fresh episodes, sign with KEY (see CONTRIBUTING.md).
weights: $(VENV)/.dev
	for name in ur5e-reach panda-reach iiwa14-reach ur5e-pick_place panda-pick_place iiwa14-pick_place panda-polish ur5e-conveyor_pick panda-peg_insert wafer_rtz-wafer_transfer; do \
		$(BIN)/robostral train $$name --out policies/robostral_policies/weights/$$name-v1 $(if $(KEY),--key $(KEY)) || exit 1; \
	done
	$(BIN)/robostral surrogate train jaw-part --out policies/robostral_policies/weights/jaw-part-v1 $(if $(KEY),--key $(KEY))

# The wheel and the sdist, each installed without extras into an empty environment and asked for its help and a bundle.
build: $(VENV)/.dev
	rm -rf dist build/smoke
	$(BIN)/python -m build --quiet
	for package in dist/*.whl dist/*.tar.gz; do \
		rm -rf build/smoke && $(PYTHON) -m venv build/smoke && \
		build/smoke/bin/python -m pip install -qq --disable-pip-version-check -c constraints.txt $$package && \
		build/smoke/bin/robostral --help > /dev/null && \
		(cd build && smoke/bin/robostral bundle verify ur5e-reach-v1) || exit 1; \
	done

# Each stamp is an environment that holds at least what its name says; the larger one serves the smaller target too.
$(VENV)/.demo: pyproject.toml constraints.txt
	@echo "installing into $(VENV) (a minute or two, once) ..."
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	test -f $(VENV)/.dev && $(PIP) -e '.[dev]' || $(PIP) -e '.[serve,sim,drivers,view]'
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt
	@echo "installing into $(VENV) (a minute or two, once) ..."
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) -e '.[dev]'
	touch $@ $(VENV)/.demo

clean-kernels:
	find robostral sims policies drivers tests -name '*.nb[ic]' -delete

clean: clean-kernels
	rm -rf $(VENV) build dist runs .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
