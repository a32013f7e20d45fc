# Every command of CONTRIBUTING.md is a target here. `demo` and `test` set everything up by themselves.
.DELETE_ON_ERROR:
.PHONY: help demo test test-unit test-e2e test-containers test-k8s task-image bench-containers bench-pods chaos soak check fmt api bench golden golden-histories screenshots constraints clean

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := .installed
# What the repository itself needs: every role with a local test, and the tools of the group below.
EXTRAS := cli,port,client,worker,local,server,s3,gcs,k8s
UV_PIP = uv pip install --quiet --constraint constraints.txt --override overrides.txt
PYTEST := python -m pytest
PYTEST_ARGS ?=
# The whole suite runs in so many processes, each with stacks of its own; chosen tests run in one. One more than there are
# cores, because tests of faults wait a quarter of their time; four at most.
JOBS ?= $(shell n=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2); [ $$n -lt 4 ] && echo $$((n + 1)) || echo 4)
SIDE_BY_SIDE = $(if $(PYTEST_ARGS),,--numprocesses $(JOBS) --dist worksteal)
SOURCES := flyte_temporal tests tools examples bench

help:
	@echo "make demo         set up, then run a training pipeline durably on an embedded Temporal server"
	@echo "make test         set up, then run all tests (PYTEST_ARGS='-k word' to choose)"
	@echo "make test-unit    only the unit tests;  make unit-3.12: the same on another Python"
	@echo "make test-e2e     only the end-to-end tests (each example, on a stack of its own)"
	@echo "make test-containers  tests on podman: contract, faults, parity; installs podman on Debian"
	@echo "make task-image  build the image of tasks for podman and docker (IMAGE_ARGS='--with pandas')"
	@echo "make bench-containers  measure what a task costs beyond its container, then make bench-pods"
	@echo "make test-k8s     the tests that need Kubernetes: on KUBECONFIG's cluster, or else on one that it starts (tests/cluster)"
	@echo "make chaos        which faults are tested; random programs with faults by SEEDS=20 seeds; crashes and parity"
	@echo "                  with batches off and with all in batches"
	@echo "make soak         MINUTES=10 of random programs while random processes are killed"
	@echo "make check        lint, formatting, types (mypy, and pyright on tests/typing), import rules, sizes"
	@echo "make fmt          format and fix what can be fixed"
	@echo "make api          write docs/api.md and the names in docs/porting.md anew"
	@echo "make bench        measure nodes per second; writes bench/results.json (without pods)"
	@echo "make bench-pods   measure what 1,000 pods cost a worker, on a cluster as make test-k8s"
	@echo "make golden       write the golden specs anew; read the diff before you commit it"
	@echo "make golden-histories  record the histories anew that the replay tests use"
	@echo "make screenshots  take the pictures of docs/operations/temporal-ui.md anew (Node.js, Chromium)"
	@echo "make constraints  choose new versions for constraints.txt"
	@echo "make clean        remove environments and caches"

# ---- set-up -----------------------------------------------------------------
# The stamp makes a second call cost nothing; it is older than the files below when they change.
$(VENV)/$(INSTALLED): pyproject.toml constraints.txt overrides.txt
	@python=$$(tools/find_python.sh) || { \
	  echo "No usable Python 3.11 to 3.13 with venv was found. Install one (Debian: apt-get install python3-venv) and run make again." >&2; \
	  exit 1; }; \
	test -x $(BIN)/python || { echo "Setting up $(VENV) with $$python …" >&2; "$$python" -m venv $(VENV); }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	@VIRTUAL_ENV=$(VENV) $(BIN)/$(UV_PIP) --editable '.[$(EXTRAS)]' --group dev
	@touch $@

# The same for another Python, for the unit tests only: .venv-3.12 and so on.
.venv-%/$(INSTALLED): pyproject.toml constraints.txt $(VENV)/$(INSTALLED)
	@python=$$(tools/find_python.sh $*) || { echo "Python $* is not on this machine." >&2; exit 1; }; \
	test -x .venv-$*/bin/python || "$$python" -m venv --without-pip .venv-$*
	@VIRTUAL_ENV=.venv-$* $(BIN)/$(UV_PIP) --editable '.[$(EXTRAS)]' --group test
	@touch $@
# Otherwise make counts the stamp as its own and removes it.
.PRECIOUS: .venv-%/$(INSTALLED)

# ---- run --------------------------------------------------------------------
demo: $(VENV)/$(INSTALLED)
	@$(BIN)/flyte-temporal run examples/02_train_model/pipeline.py train_model --hyperparam 0.1

test: $(VENV)/$(INSTALLED)
	@$(BIN)/python -m tests.fake_gcs
	@$(BIN)/$(PYTEST) $(SIDE_BY_SIDE) $(PYTEST_ARGS)

test-unit: $(VENV)/$(INSTALLED)
	@$(BIN)/$(PYTEST) tests/unit $(PYTEST_ARGS)

unit-%: .venv-%/$(INSTALLED)
	@.venv-$*/bin/$(PYTEST) tests/unit -p no:cacheprovider $(PYTEST_ARGS)

test-e2e: $(VENV)/$(INSTALLED)
	@$(BIN)/$(PYTEST) tests/e2e $(PYTEST_ARGS)

# The contract, the faults and examples on podman, then of the parity suite the first case of each file and a map with
# failures: all of its cases take half an hour (make test-containers PARITY=test_durable).
PARITY ?= test_durable and (-0- or map_task-6-)
test-containers: export FLYTE_TEMPORAL_TEST_CONTAINERS = required
test-containers: $(VENV)/$(INSTALLED)
	@tests/containers/set-up
	@$(BIN)/python -m tests.containers.engines
	@TEST_LAUNCHERS=podman $(BIN)/$(PYTEST) $(SIDE_BY_SIDE) tests/containers tests/contract/test_launcher.py \
	  tests/contract/test_adoption.py tests/contract/test_stopping.py --timeout 600 $(PYTEST_ARGS)
	@TEST_LAUNCHER=podman $(BIN)/$(PYTEST) $(SIDE_BY_SIDE) tests/parity -k "$(PARITY)" --timeout 600 $(PYTEST_ARGS)

# Its tag is the version, which is what the launchers take if nobody names an image.
IMAGE_ARGS ?=
task-image: $(VENV)/$(INSTALLED)
	@$(BIN)/python tools/task_image.py --tag $$($(BIN)/python -c 'from flyte_temporal._version import __version__; print(__version__)') $(IMAGE_ARGS)

bench-containers: $(VENV)/$(INSTALLED)
	@tests/containers/set-up
	@$(BIN)/python -m bench.containers $(BENCH_ARGS)
	@$(MAKE) --no-print-directory bench-pods BENCH_ARGS=

# Two nodes that kwok plays are there for the tests of a lost node: Kubernetes evicts nothing from its only one.
test-k8s: $(VENV)/$(INSTALLED)
	@KUBE_FAKE_NODES=$${KUBE_FAKE_NODES:-2} tests/cluster/with $(BIN)/$(PYTEST) tests/kubernetes $(PYTEST_ARGS)

SEEDS ?= 20
MINUTES ?= 10
chaos: $(VENV)/$(INSTALLED)
	@$(BIN)/python -m tests.faults.rows
	@CHAOS_SEEDS=$(SEEDS) $(BIN)/$(PYTEST) tests/faults/test_seeded.py $(PYTEST_ARGS)
	@CHAOS_SEEDS=$(SEEDS) $(BIN)/$(PYTEST) -m chaos $(PYTEST_ARGS)
	@for batches in off always; do \
	  echo "with batches $$batches"; \
	  export CHAOS_SEEDS=$(SEEDS) FLYTE_TEMPORAL_LIMITS__BATCHES=$$batches; \
	  $(BIN)/$(PYTEST) tests/e2e/test_faults.py tests/e2e/test_structure_faults.py tests/e2e/test_batch_faults.py \
	    $(PYTEST_ARGS) || exit 1; \
	  $(BIN)/$(PYTEST) tests/parity -k "test_durable and not batches" $(PYTEST_ARGS) || exit 1; \
	done

soak: $(VENV)/$(INSTALLED)
	@$(BIN)/python -m tests.faults.soak --minutes $(MINUTES)

bench: $(VENV)/$(INSTALLED)
	@$(BIN)/python bench/run.py $(BENCH_ARGS)

# A part of make bench-containers. What is measured on fake nodes is ours alone: no container runs there.
bench-pods: $(VENV)/$(INSTALLED)
	@KUBE_FAKE_NODES=$${KUBE_FAKE_NODES:-10} tests/cluster/with $(BIN)/python -m bench.pods $(BENCH_ARGS)

# ---- keep in order ----------------------------------------------------------
check: $(VENV)/$(INSTALLED)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/basedpyright --level error
	$(BIN)/lint-imports --no-cache
	$(BIN)/python tools/check_size.py $(SOURCES)

fmt: $(VENV)/$(INSTALLED)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

api: $(VENV)/$(INSTALLED)
	@$(BIN)/python -m tools.write_api
	@$(BIN)/python -m tools.write_porting

golden: $(VENV)/$(INSTALLED)
	@FLYTE_TEMPORAL_REWRITE_GOLDEN=1 $(BIN)/$(PYTEST) tests/unit/compiler/test_golden.py -q

golden-histories: $(VENV)/$(INSTALLED)
	@RECORD_HISTORIES=1 $(BIN)/$(PYTEST) tests/workflow/test_replay.py tests/workflow/test_golden_stories.py -q
	@$(BIN)/python tools/record_histories.py

screenshots: $(VENV)/$(INSTALLED)
	@$(BIN)/python tools/screenshots.py

constraints: $(VENV)/$(INSTALLED)
	@{ echo "# Every version that \`make\` installs, for Python 3.11 to 3.13 on Linux and macOS. Names and versions only."; \
	   echo "# Made by \`make constraints\`."; \
	   $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --override overrides.txt --extra all --extra k8s --group dev --upgrade \
	     --no-annotate --no-header --no-emit-index-url --no-emit-find-links --no-emit-package flyte-temporal pyproject.toml; \
	   $(BIN)/uv --version | sed 's/^uv \([^ ]*\).*/uv==\1/'; } > constraints.txt.new
	@mv constraints.txt.new constraints.txt

clean:
	rm -rf .venv .venv-* .screenshots dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
