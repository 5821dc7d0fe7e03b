# `make demo` to see it, `make test` to check it. Every target works from a fresh clone.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help deps deps-build build demo test test-nightly fmt-check lint doc-check tests bench bench-aggregates clean-demo

# rustup's default place, for shells that have not been reopened since.
export PATH := $(PATH):$(HOME)/.cargo/bin

CARGO ?= cargo
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
DEMO_DIR ?= ./demo-data
# More for the command, for example DEMO_ARGS="--rows 30000000 --listen 127.0.0.1:5455".
DEMO_ARGS ?=

# One feature set for lints, docs and tests: another one would build DataFusion again.
CHECKED := --locked --workspace --features failpoints

# How much chance the seeded tests get. `make test-nightly` raises them.
export SLICEDB_CRASH_CYCLES ?= 20
export SLICEDB_POWER_CYCLES ?= 5
export SLICEDB_FUZZ_CASES ?= 1000
export SLICEDB_FLIPS ?= 30
export SLICEDB_FAULTS ?= 8
export SLICEDB_SEQUENCES ?= 300
export PROPTEST_CASES ?= 256

help:
	@echo "make demo          build, load a week of pizza orders, ask, stream; Ctrl-C stops"
	@echo "make test          the whole check: format, lints, docs, every test"
	@echo "make test-nightly  the same with 10 times the crashes and random cases, and every fault"
	@echo "make bench         the main job measured, PostgreSQL beside it; some 20 minutes"
	@echo "make bench-aggregates  the same of continuous aggregates and hyperfunctions"
	@echo "make build         the release binary: $(TARGET_DIR)/release/slicedb"
	@echo "make deps          install the system packages that building and testing need"
	@echo "make clean-demo    remove the demo's data: $(DEMO_DIR)"

deps:
	@.ci/deps test

deps-build:
	@.ci/deps build

build: deps-build
	$(CARGO) build --locked --release --bin slicedb

demo: build
	@"$(TARGET_DIR)/release/slicedb" demo --data-dir "$(DEMO_DIR)" $(DEMO_ARGS)

test: deps fmt-check lint doc-check tests

test-nightly: export SLICEDB_CRASH_CYCLES := 200
test-nightly: export SLICEDB_POWER_CYCLES := 50
test-nightly: export SLICEDB_FUZZ_CASES := 200000
test-nightly: export SLICEDB_FLIPS := 1000
test-nightly: export SLICEDB_FAULTS := all
test-nightly: export SLICEDB_SEQUENCES := 10000
test-nightly: export PROPTEST_CASES := 10000
test-nightly: test

fmt-check:
	@echo "==> format"
	$(CARGO) fmt --all --check

lint:
	@echo "==> lints"
	$(CARGO) clippy $(CHECKED) --all-targets -- -D warnings

doc-check:
	@echo "==> documentation"
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc $(CHECKED) --no-deps

tests:
	@echo "==> tests: $(SLICEDB_CRASH_CYCLES) crashes, $(SLICEDB_POWER_CYCLES) power cuts, $(SLICEDB_FAULTS) faults a phase, $(SLICEDB_FUZZ_CASES) fuzz cases, $(SLICEDB_SEQUENCES) sequences over aggregates"
	$(CARGO) test $(CHECKED) --no-fail-fast

bench: deps-build
	$(CARGO) bench --locked --bench main_job

bench-aggregates: deps-build
	$(CARGO) bench --locked --bench aggregates

clean-demo:
	rm -rf -- "$(DEMO_DIR)"
