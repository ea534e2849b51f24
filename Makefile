# make repro                    install once, run the graph, print the main scores
# make repro SOURCE=medmnist    the same on real images
# make repro JOBS=1             one stage after another, with DVC's own output
# make sweep                    the experiments in sweep/grid.yaml; QUEUE=2 runs two at once
# make sweep CLUSTER=tcp://scheduler:8786   the same on a Dask cluster: docs/machines.md
# make bench                    benchmarks: benchmarks/README.md
# make test                     linter, type checker and test suite

PYTHON ?= python3
JOBS ?= 2
QUEUE ?= 1
BIN := $(CURDIR)/.venv/bin
export PATH := $(BIN):$(PATH)
.PHONY: repro sweep source bench test install lock clean

repro: install source
	@chestflow repro --jobs $(JOBS)
	@chestflow summary

sweep: install source
	@chestflow sweep $(if $(CLUSTER),--cluster $(CLUSTER),--queue $(QUEUE))

source: install
	@case "$(SOURCE)" in ""|phantom|medmnist) ;; *) echo "SOURCE=$(SOURCE): accepted: phantom, medmnist"; exit 1;; esac
	@$(if $(SOURCE),sed 's/^source: [a-z]*/source: $(SOURCE)/' params.yaml >params.new && mv params.new params.yaml)
	@chestflow check

bench: install
	python -m benchmarks.throughput $(QUICK)
	python -m benchmarks.orchestration $(QUICK) $(GRAPH)
	python -m benchmarks.growth $(QUICK)
	python -m benchmarks.report

test: install
	ruff check .
	ruff format --check .
	mypy
	python -m pytest

install: .venv/installed

# uv takes torch and torchvision from one registry, so that they match. requirements.txt pins the
# versions for all platforms; pyproject.toml says which packages to install. Compiling bytecode now
# halves the time that every stage takes to start.
.venv/installed: pyproject.toml requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.11 ..."; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check "uv>=0.8,<1"
	$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --constraints requirements.txt --editable . --group dev
	@touch $@

lock:  # renew the pinned set within the bounds of pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --upgrade --all-extras --group dev --no-header pyproject.toml -o requirements.txt

clean:
	rm -rf .venv data models exports dvc_plots
