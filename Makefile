# make (or make help) lists the targets.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
FUZZTIME ?= 10s
BENCH ?= .
PKG ?= ./...

export CGO_ENABLED ?= 0

.PHONY: help build web demo test deps lint bench fuzz clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## Build the static binary bin/ringway, with the phone page if it is bundled
	go build -trimpath -buildvcs=false -ldflags '-s -w -X main.version=$(VERSION)' -o bin/ringway ./cmd/ringway

web: web/node_modules/.package-lock.json ## Bundle the phone page and the page of the browser tests (needs Node and npm)
	cd web && npm run --silent build

web/node_modules/.package-lock.json: web/package-lock.json
	cd web && npm ci --no-audit --no-fund
	@touch $@

demo: web build ## Build, run on built-in defaults and print one URL: two phones that can call each other
	bin/ringway demo

test: ## Install what the tests need, then run all: go test -race, then the browser suite
	.ci/test.sh

deps: ## Install what the tests need, by name, through apt
	.ci/deps.sh

lint: ## gofmt, go vet, staticcheck
	.ci/lint.sh

bench: ## Run the benchmarks (BENCH=regexp PKG=./sip/...)
	go test -run '^$$' -bench '$(BENCH)' -benchmem $(PKG)

fuzz: ## Run every fuzz target for FUZZTIME (10s)
	FUZZTIME=$(FUZZTIME) .ci/fuzz.sh

clean: ## Remove what was built
	rm -rf bin tmp web/node_modules web/phone/dist web/e2e/dist
