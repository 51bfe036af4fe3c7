# Everything needs Go, git and make only; the tests also start PostgreSQL where it is installed. Go's own caches decide what is stale, so
# every target is quick when there is nothing to do.

# Tools are built into .tools from the versions that tools/go.mod pins.
TOOLS := .tools
LINT  := $(CURDIR)/$(TOOLS)/golangci-lint

# One set of flags for builds, tests and linters lets them share Go's build cache:
# with mixed flags the Temporal server would be compiled twice. The version is
# stamped by -ldflags, so Go need not ask git (which fails in a clone that belongs
# to another user).
export GOFLAGS := $(shell go env GOFLAGS) -trimpath -buildvcs=false

# The go.mod files name the Go release that mends what is known of the standard library;
# an older Go gets it by itself. GOTOOLCHAIN=local, which Go's images set, would keep the
# older one: it is what remains where the release cannot be had.
export GOTOOLCHAIN := $(or $(shell GOTOOLCHAIN=auto go version >/dev/null 2>&1 && echo auto),local)

VERSION     := $(or $(shell git describe --tags --always --dirty 2>/dev/null),unknown)
# temporal-dev is 200 MB to link: its version moves only with its own folder.
DEV_VERSION := $(or $(shell git log -1 --format=%h -- devserver 2>/dev/null),unknown)
LDFLAGS     := -X github.com/identitymesh/okta-connector/internal/app.Version=$(VERSION) -X main.version=$(VERSION)
DEV_LDFLAGS := -s -w -X main.buildVersion=$(DEV_VERSION)

# The race detector needs cgo and a C compiler. Without them the tests run without
# it and say so; in CI that is an error.
RACE := $(if $(filter 1,$(shell go env CGO_ENABLED)),-race)

# The integration tests run these binaries as processes of their own.
export IDENTITYMESH_BIN := $(CURDIR)/bin

.DEFAULT_GOAL := help
.PHONY: help build demo up picture dashboard dashboard-picture test test-unit test-integration test-devserver test-deploy fuzz race lint bench bench-postgresql bench-micro fmt tidy clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build worker, starter, oktasim and temporal-dev into bin/
	@mkdir -p bin
	go build -ldflags '$(LDFLAGS)' -o bin/ ./worker ./starter ./okta/oktasim/cmd/oktasim
	@test -x bin/temporal-dev || echo "building bin/temporal-dev: the first build of the Temporal server takes about five minutes"
	cd devserver && go build -ldflags '$(DEV_LDFLAGS)' -o ../bin/temporal-dev .

demo: build ## tell the life of a connector on a generated org, in half a minute
	@go run ./scripts/demo --bin bin --dir .demo

up: build ## start Temporal, a simulated org, the worker and a schedule, until Ctrl-C
	@go run ./scripts/demo up --bin bin --dir .up

picture: build ## make the README's pictures of the Temporal Web UI; needs Chromium
	@go run ./scripts/picture --bin bin --dir .demo --out docs/images

dashboard: ## write the Grafana dashboard, deploy/grafana
	@go run ./scripts/dashboard

dashboard-picture: build ## draw the dashboard's picture from real runs, two minutes; needs Prometheus
	@go run ./scripts/dashboard --bin bin --picture docs/images/dashboard.png

# With the race detector the store's suite leaves out its tests of thousands of rows
# (-short; nothing else does): SQLite in Go is some twenty times slower there. They
# run in full without it, and so do thousands of random sequences of changes and runs.
test: build race ## run all tests: unit, race detector, integration, devserver, deploy
	go test $(RACE) -short -timeout 40m ./...
	go test -timeout 20m ./mesh/...
	go test -timeout 10m -run BoundedMemory ./okta
	go test -timeout 20m -run Property ./workflows -rapid.checks=2000
	tools/fuzz.sh 10s
	cd devserver && go test -timeout 10m ./...
	cd deploy && go test -timeout 20m ./...

test-unit: ## run the tests that need no other process, quickly
	go test -timeout 10m $$(go list ./... | grep -v '/integration$$')

test-integration: build race ## run the tests with a real Temporal server and real processes
	go test $(RACE) -timeout 20m -count=1 ./integration/...

FUZZTIME := 1m
FUZZ     := .

fuzz: ## run each fuzz test for a minute; FUZZTIME=10s and FUZZ=Answer choose less
	tools/fuzz.sh $(FUZZTIME) '$(FUZZ)'

test-devserver: ## run the tests of temporal-dev
	cd devserver && go test -timeout 10m ./...

test-deploy: ## run the tests of what deploys: Compose, the image, Kubernetes
	cd deploy && go test -timeout 20m ./...

race:
ifndef RACE
	@echo "NOTE: no C compiler found, so the tests run WITHOUT the race detector: install gcc to have it." >&2
	@test -z "$$CI"
endif

lint: $(TOOLS)/.built ## check style, determinism of the workflows, known vulnerabilities
	$(LINT) run ./...
	cd devserver && $(LINT) run --config ../.golangci.yml ./...
	cd deploy && $(LINT) run --config ../.golangci.yml ./...
	$(TOOLS)/workflowcheck -config tools/workflowcheck.yaml ./workflows/...
	@tools/vulncheck.sh $(TOOLS)/govulncheck ./...

bench: build ## measure imports on the real stack, some ten minutes; writes docs/benchmarks.md
	@go run ./scripts/bench --bin bin --out docs/benchmarks.md $(BENCH)

bench-postgresql: build ## the same on PostgreSQL; writes docs/benchmarks-postgresql.md
	@go run ./scripts/bench --bin bin --db postgres --out docs/benchmarks-postgresql.md $(BENCH)

bench-micro: ## run the micro benchmarks
	go test -run '^$$' -bench . -benchmem ./okta/... ./mapping/... ./mesh/... ./activities/...

fmt: $(TOOLS)/.built ## format the code
	$(LINT) fmt ./...
	cd devserver && $(LINT) fmt --config ../.golangci.yml ./...
	cd deploy && $(LINT) fmt --config ../.golangci.yml ./...

tidy: ## tidy the four modules
	go mod tidy
	cd devserver && go mod tidy
	cd deploy && go mod tidy
	cd tools && go mod tidy

clean: ## remove what was built, and the state of demo and up
	rm -rf bin $(TOOLS) .demo .up

# The linters, through the Go module proxy: one to three minutes the first time.
$(TOOLS)/.built: tools/go.mod tools/go.sum
	@mkdir -p $(TOOLS)
	cd tools && go build -o ../$(TOOLS)/ tool
	@touch $@
