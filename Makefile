# make up: a cluster that serves a sample app.  make test: installs what it needs and passes everything.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
KYBERN := $(BIN)/kybern
IMAGES := build/images
PACKAGES := containerd runc containernetworking-plugins nftables iptables iproute2 conntrack busybox-static catatonit mount haproxy etcd-server
TEST_PACKAGES := dnsutils curl hey etcd-server etcd-client
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: install install-test up down test check unit e2e chaos fuzz bench parity clean

# What it takes to run a cluster. Debian's kubectl is installed only where there is none.
install: $(VENV)/.installed
	@$(BIN)/python -m compileall -q src
	@$(PYTHON) tools/packages.py $(PACKAGES)
	@command -v kubectl >/dev/null || $(PYTHON) tools/packages.py kubernetes-client

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable '.[dev]'
	@touch $@

install-test: install
	@$(PYTHON) tools/packages.py $(TEST_PACKAGES)

up: install
	@$(KYBERN) up --image-dir $(IMAGES) $(FLAGS)

down: install
	@$(KYBERN) down

check: $(VENV)/.installed
	$(BIN)/ruff check src tests bench tools
	$(BIN)/mypy

test: install-test check
	$(BIN)/pytest

unit: install-test
	$(BIN)/pytest -m 'not e2e'

e2e: install-test
	$(BIN)/pytest -m e2e

# Every fault there is a promise for, on five nodes; about ten minutes. Writes docs/reliability.md.
chaos: install-test
	KYBERN_WRITE_FIGURES=1 $(BIN)/pytest -s tests/chaos

# Random input for half a minute per target; about ten minutes. Writes docs/reliability.md's section on it.
fuzz: install-test
	@$(BIN)/pip install --quiet '.[fuzz]'
	$(BIN)/python -m tests.fuzz.run 30

bench: install-test
	$(BIN)/python -m bench.run

parity: $(VENV)/.installed
	$(BIN)/python tools/parity.py > docs/parity.md

clean: down
	rm -rf build $(VENV)
