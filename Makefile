# Keyward: two commands are all a newcomer needs, `make run` and `make test`.

CARGO ?= cargo
DATA ?= data
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
# A test, and what helps it, may panic; everything else is checked without these first.
MAY_PANIC := -A clippy::unwrap_used -A clippy::expect_used -A clippy::panic -A clippy::indexing_slicing -A clippy::print_stdout -A clippy::print_stderr

.PHONY: help run test lint fmt plugins bench bench-cluster bench-scale soak fuzz fuzz-api docs clean-data

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

run: ## Build, then start a node with a demo world that can be called at once (Ctrl-C stops it)
	@scripts/setup.sh run
	@echo "Building Keyward (four to six minutes the first time on two cores, seconds afterwards)…" >&2
	@$(CARGO) build --locked --profile quick -p keyward
	@exec target/quick/keyward serve --demo --data $(DATA) --listen 127.0.0.1:8080 --admin 127.0.0.1:9080

test: ## Install what the tests need, then run every check and test
	@scripts/setup.sh test
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory plugins
	$(CARGO) test --locked --workspace

lint: ## Formatting, clippy, the arrows between crates, generated files
	$(CARGO) fmt --all --check
	$(CARGO) run --locked -q -p xtask -- tidy
	$(CARGO) clippy --locked --workspace --exclude keyward-testkit -- -D warnings
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings $(MAY_PANIC)

fmt: ## Format everything
	$(CARGO) fmt --all

plugins: ## Build the sample plugin for WebAssembly (target/plugins/wasm32-wasip1/release/hello_keyward.wasm)
	@scripts/setup.sh plugins
	@$(CARGO) fmt --manifest-path plugins/hello-keyward/Cargo.toml --check
	$(CARGO) build --locked --release --target wasm32-wasip1 --manifest-path plugins/hello-keyward/Cargo.toml --target-dir target/plugins

bench: ## Measure beside nginx and Envoy, one core each, and print a table (target/bench.json has the figures)
	@scripts/install-peers.sh
	@$(CARGO) run --locked --release -p keyward-bench -- $(BENCH_ARGS)

bench-cluster: ## Measure how soon a revocation holds on three nodes over one PostgreSQL, all under load
	@scripts/setup.sh test
	@$(CARGO) run --locked --release -q -p keyward-testkit --example bench_cluster

bench-scale: ## Measure lists, look-ups, writes and the start of a node with a million applications, on both stores (target/bench-scale.json)
	@scripts/setup.sh test
	@$(CARGO) run --locked --release -q -p keyward-testkit --example bench_scale -- $(BENCH_ARGS)

soak: ## The long runs: a million oracle decisions, ten thousand revocations, 200 kill -9
	KEYWARD_SOAK=1 KEYWARD_ORACLE_WORLDS=4096 $(CARGO) test --locked --release --workspace

fuzz: ## Feed random bytes to every parser for a while (FUZZ_CASES of them each)
	PROPTEST_CASES=$${FUZZ_CASES:-200000} $(CARGO) test --locked --release -p keyward-http -p keyward-access -p keyward-model -p keyward-api -p keyward-wasm

fuzz-api: ## Call the admin API with random requests for long (FUZZ_CASES of them to each route)
	@scripts/setup.sh test
	KEYWARD_FUZZ_API=$${FUZZ_CASES:-20000} $(CARGO) test --locked --workspace --test contract

docs: ## Write the generated pages of the manual anew
	KEYWARD_BLESS=1 $(CARGO) test --locked --workspace --test generated_pages --test attack_index

clean-data: ## Forget the demo's data folder
	rm -rf -- "$(DATA)"
