# Mycelium's targets; `make` lists them. What each check means stands in CONTRIBUTING.md.

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS   += --no-print-directory
.DEFAULT_GOAL := help

GO          ?= go
PREFIX      ?= /usr/local
DATA        ?=
# Time for each fuzz target, and for all of them together (0: no bound).
FUZZTIME    ?= 10s
FUZZBUDGET  ?= 0
# What continuous integration runs, in this order.
STAGES      ?= build check test stepped race test-arm64 fuzz demo
BENCH       ?= .
COUNT       ?= 1
# How long the storm lasts, and the seed that decides whom it kills (empty: another one each time).
DURATION    ?= 60s
SEED        ?=
# Of make crash: which operations alone (a regular expression; spaces are underscores), and whether at every single instruction.
OPERATION   ?=
EVERY       ?=

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.9.0
BENCHSTAT   := golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da

# The revision is stamped where git can tell it; a tree without git builds as well.
BUILDVCS    := $(shell git status --porcelain >/dev/null 2>&1 && echo -buildvcs=true || echo -buildvcs=false)
# What runs at once in one process, or shares memory with others.
CONCURRENT  := ./shmring/... ./uds/... ./bus/... ./cmd/...
LOADED      := ./shmring/... ./bus/...

.PHONY: help
help: ## list the targets
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## build all programs into bin/
	@mkdir -p bin
	$(GO) build $(BUILDVCS) -trimpath -o bin/ ./cmd/...

.PHONY: install
install: build ## install the programs into PREFIX/bin (PREFIX=/usr/local, DESTDIR=)
	install -d "$(DESTDIR)$(PREFIX)/bin"
	install -m 755 bin/* "$(DESTDIR)$(PREFIX)/bin/"

.PHONY: demo
demo: build ## a market through the bus: broker, adapter, arbitrage, observer (DATA=DIR plays recorded events)
	$(GO) run ./internal/demo -data "$(DATA)"

.PHONY: test
test: ## everything that must pass: vet and all tests, under 5 minutes
	@[ -d "$${MYC_DATA:-../shared/data}" ] || echo "test: no recorded data in $${MYC_DATA:-../shared/data}: tests that read it are skipped"
	$(GO) vet ./...
	$(GO) test -timeout 290s ./...

.PHONY: check
check: ## gofmt, vet, staticcheck, the project's own lint, arm64, known vulnerabilities
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "gofmt would change:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) vet -tags invariant ./...
	$(GO) test -count=1 ./internal/lint
	$(GO) run $(STATICCHECK) ./...
	GOARCH=arm64 $(GO) build ./...
	GOARCH=arm64 $(GO) vet ./...
	@scripts/vulncheck.sh $(GOVULNCHECK)

.PHONY: race
race: ## tests under the race detector with invariants checked (needs a C compiler)
	@if command -v "$$($(GO) env CC)" >/dev/null; then \
		set -x; CGO_ENABLED=1 $(GO) test -race -tags invariant -short -timeout 600s $(CONCURRENT); \
	else echo "race: SKIPPED: the race detector needs a C compiler, and there is none"; fi

.PHONY: fuzz
fuzz: ## each fuzz target for FUZZTIME (10s), all of them within FUZZBUDGET seconds (0: no bound)
	@GO="$(GO)" scripts/fuzz.sh "$(FUZZTIME)" "$(FUZZBUDGET)"

.PHONY: stepped
stepped: ## the ring's code in every order of its steps, with kills, and seeded faults are found (FULL=1: one preemption more; FAULTS=1: all faults, not a quarter)
	@$(GO) test -c -tags stepped -o bin/stepped.test ./shmring
	@cd shmring && for shard in 0 1; do MYC_SHARD=$$shard/2 ../bin/stepped.test -test.v -test.timeout 60m -test.run '^TestStepped$$' & pids+=" $$!"; done; \
		for pid in $$pids; do wait $$pid || exit 1; done
	@cd shmring && ../bin/stepped.test -test.v -test.timeout 60m -test.run '^(TestSteppedCovers|TestSeededFaultsFit|TestSteppedFindsSeededFaults|TestKillPoints)$$'

.PHONY: model
model: ## every state of small models of the protocol, and mistakes that they must find (FULL=1: larger; MODEL=REGEXP)
	@$(GO) run ./internal/model $(if $(FULL),-deep) $(if $(MODEL),-run '$(MODEL)')

.PHONY: crash
crash: ## processes killed at every instruction that leaves something else behind, seeded faults found (EVERY=1: at every one, hours; OPERATION=REGEXP)
	MYC_CRASH=$(if $(EVERY),full,distinct) $(GO) test -count=1 -timeout 0 -v -run '^TestCrash$$/^operations$$/$(OPERATION)' ./shmring
	@if [ -z "$(OPERATION)" ]; then MYC_CRASH=full $(GO) test -count=1 -timeout 30m -v -run '^TestCrashFindsSeededFaults$$' ./shmring; fi

.PHONY: stress
stress: ## the stress tests: many producers and consumers, every message accounted for
	$(GO) test -count=1 -timeout 20m -run '^TestStress' $(LOADED)

.PHONY: storm
storm: ## kills and stops at random under full load for DURATION (60s), every message accounted for (SEED=N: its decisions)
	MYC_STORM_DURATION=$(DURATION) MYC_STORM_SEED=$(SEED) $(GO) test -count=1 -timeout 0 -v -run '^TestStorm$$' ./internal/storm

.PHONY: soak
soak: storm ## the storm, then the stress tests at full length: 10 million messages through each kind
	MYC_SOAK=1 $(GO) test -count=1 -timeout 120m -v -run '^Test(Stress|Soak)' $(LOADED)

.PHONY: bench
bench: ## benchmarks in the form that benchstat reads (BENCH=REGEXP COUNT=1)
	@$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) \
		$$(grep -rl --include='*_test.go' '^func Benchmark' . | xargs -n1 dirname | sort -u)

.PHONY: bench-compare
bench-compare: ## benchmarks of this tree against those of BASE=COMMIT, interleaved (BENCH=REGEXP COUNT=1)
	@GO="$(GO)" scripts/bench-compare.sh "$(BASE)" '$(BENCH)' '$(COUNT)' $(BENCHSTAT)

.PHONY: golden
golden: ## write golden files and transcripts anew; read the diff before you commit it
	$(GO) test $$(grep -rlE --include='*_test.go' 'mycelium/internal/(golden|script)"|flag\.Bool\("update"' . | xargs -n1 dirname | sort -u) -update
	@git status --short -- ':/*testdata/*' || true

.PHONY: cover
cover: ## test coverage into cover.out, the total printed (go tool cover -html=cover.out shows the lines)
	$(GO) test -coverpkg=./... -coverprofile=cover.out ./...
	@$(GO) tool cover -func=cover.out | tail -1

.PHONY: test-arm64
test-arm64: ## the ring's and the codec's short tests as arm64 code under qemu-user (installed where that is possible)
	@GO="$(GO)" scripts/test-arm64.sh ./codec/... ./shmring/...

.PHONY: ci
ci: export FUZZTIME = 3s
ci: export FUZZBUDGET = 150
ci: ## all that must hold before a change lands, with the seconds of each stage (STAGES="build check ...")
	@report=""; \
	for stage in $(STAGES); do \
		echo; echo "== $$stage"; start=$$SECONDS; \
		if ! $(MAKE) $$stage; then echo "== $$stage FAILED after $$((SECONDS - start)) s"; exit 1; fi; \
		report+=$$(printf '\n  %-12s %4d s' $$stage $$((SECONDS - start))); \
	done; \
	echo; echo "== all stages passed in $$SECONDS s$$report"

.PHONY: clean
clean: ## remove what the other targets built
	rm -rf bin cover.out
