# Rotunda. `make run` and `make test` are enough on a fresh machine with git, make, Go and Node.js; what else they need
# (packages of npm and Go, and for the tests a browser and a speech synthesiser) they fetch themselves.

GO       ?= go
NPM      ?= npm
VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
REVISION := $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
LDFLAGS  := -s -w -X main.linkedVersion=$(VERSION) -X main.linkedRevision=$(REVISION)
FUZZTIME ?= 10s
export CGO_ENABLED ?= 0

.PHONY: run test check build release web bench soak loss kills scale fuzz fmt clean test-go test-sim test-web test-deploy test-e2e test-tools browser speech interop namespaces promtool systemd tmux reference
.DEFAULT_GOAL := build

run: build ## three regions on this machine, each with its web page
	bin/rotunda up $(UPFLAGS)

build: web ## the one static binary, bin/rotunda
	$(GO) build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' -o bin/rotunda ./cmd/rotunda

# dist/: an archive, an SBOM and the hashes. The same tree, version and Go make the same bytes anywhere.
release: web
	cd tools/deploy && $(GO) run . -version '$(VERSION)' -revision '$(REVISION)' -time $$(git log -1 --format=%ct)

# The web client: sources and lock file are committed, packages and bundle are not.
WEB_SOURCES := $(shell find node/web -path node/web/node_modules -prune -o -path node/web/dist -prune -o -type f -print)
web: node/web/dist/index.html
node/web/node_modules/.package-lock.json: node/web/package.json node/web/package-lock.json
	cd node/web && $(NPM) ci --no-audit --no-fund --loglevel=error
	@touch $@
node/web/dist/index.html: node/web/node_modules/.package-lock.json $(WEB_SOURCES)
	cd node/web && $(NPM) run --silent build
	@touch $@

check: web ## the quick loop: format, vet, architecture, race tests
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$unformatted" || { echo "not gofmt-ed: $$unformatted"; exit 1; }
	$(GO) vet ./...
	CGO_ENABLED=1 $(GO) test -race -short -shuffle=on ./...

test: test-web test-deploy test-go test-sim test-e2e ## every test, in a real browser too

test-web: web
	cd node/web && $(NPM) run --silent check && $(NPM) test --silent

# Alert rules, by the tool that reads them; the unit; the container file, the compose file and the chart by their tools' libraries.
test-deploy: web promtool systemd
	@cd deploy/prometheus && promtool check rules rules.yml && promtool test rules rules_test.yml
	@# systemd only warns of a key that it does not know, so its words are what fails. The binary need not be installed here.
	@d=$$(mktemp -d); sed 's|/usr/local/bin/rotunda|/bin/true|' deploy/systemd/rotunda.service >$$d/rotunda.service; \
	  said=$$(systemd-analyze verify --man=no $$d/rotunda.service 2>&1); rm -r $$d; test -z "$$said" || { echo "$$said"; exit 1; }
	@systemd-analyze security --offline=true --threshold=20 deploy/systemd/rotunda.service | tail -1
	cd tools/deploy && $(GO) vet ./... && $(GO) test -count=1 ./...

test-go: web
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$unformatted" || { echo "not gofmt-ed: $$unformatted"; exit 1; }
	$(GO) vet ./...
	@# Built side by side, run one package after another: several run real nodes in real time and need the cores.
	CGO_ENABLED=1 $(GO) test -race -run '^$$' ./... >/dev/null
	CGO_ENABLED=1 $(GO) test -race -shuffle=on -p 1 -timeout 30m ./...

# The whole, with real processes: heavy test tools live in a module of their own.
test-e2e: build browser speech namespaces interop tmux
	cd tools && $(GO) vet ./... && $(GO) test -count=1 -timeout 60m ./...

# WebRTC stacks and WHEP players of other people, from npm: they play a room in tools/e2e.
interop: tools/interop/node_modules/.package-lock.json
tools/interop/node_modules/.package-lock.json: tools/interop/package.json tools/interop/package-lock.json
	cd tools/interop && $(NPM) ci --no-audit --no-fund --loglevel=error
	@touch $@

# A thousand simulated meshes in which everything fails; a seed that breaks a rule is printed, and `rotunda sim --seed N` runs it again.
test-sim: web
	$(GO) run ./cmd/rotunda sim --seeds 1000

scale: web ## one room with a million listeners on paper: docs/scale.md and its pictures
	$(GO) run ./cmd/rotunda sim scale --out docs

bench: build ## figures against the goals, into docs/performance.md
	cd tools && $(GO) run ./figures

SOAKTIME ?= 30m
soak: build ## half an hour of one room: does anything grow?
	cd tools && SOAKTIME=$(SOAKTIME) $(GO) run ./figures soak

KILLTIME ?= 15m
kills: web ## a process that decides, killed again and again for KILLTIME: is anything lost of up to a million decisions?
	$(GO) test ./control -count=1 -timeout 2h -v -run '^TestKilled$$' -kill.decisions 1000000 -kill.time $(KILLTIME)

reference: ## docs/reference/config.md from the Config type
	$(GO) test ./node/config -count=1 -run '^TestReference$$' -update

# A million frames take two processors half an hour.
FRAMES ?= 100000
loss: ## what is missing and how late on links that lose packets, into docs/loss.md
	$(GO) test ./cascade/link -count=1 -timeout 3h -run '^TestLossTable$$' -loss.table $(CURDIR)/docs/loss.md -loss.frames $(FRAMES)

# Every fuzz target for FUZZTIME each, on the corpus that is kept under testdata/fuzz.
fuzz: web
	@set -e; for pkg in $$($(GO) list ./...); do \
	  for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "$$pkg $$target"; $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1x $$pkg; \
	  done; done

# Debian's packages; elsewhere install a Chromium, espeak-ng and iproute2 yourself and have them in PATH.
APT := $(if $(shell id -u | grep '^0$$'),,sudo )env DEBIAN_FRONTEND=noninteractive apt-get
browser:
	@command -v chromium >/dev/null || { echo 'installing chromium'; $(APT) update -qq && $(APT) install -y -qq --no-install-recommends chromium >/dev/null; }
speech:
	@command -v espeak-ng >/dev/null || { echo 'installing espeak-ng'; $(APT) update -qq && $(APT) install -y -qq --no-install-recommends espeak-ng >/dev/null; }

namespaces:
	@command -v ip >/dev/null || { echo 'installing iproute2'; $(APT) update -qq && $(APT) install -y -qq --no-install-recommends iproute2 >/dev/null; }

tmux:
	@command -v tmux >/dev/null || { echo 'installing tmux'; $(APT) update -qq && $(APT) install -y -qq --no-install-recommends tmux >/dev/null; }

systemd:
	@command -v systemd-analyze >/dev/null || { echo 'installing systemd'; $(APT) update -qq && $(APT) install -y -qq --no-install-recommends systemd >/dev/null; }

promtool:
	@command -v promtool >/dev/null || { echo 'installing prometheus'; $(APT) update -qq && $(APT) install -y -qq --no-install-recommends prometheus >/dev/null; }

fmt:
	gofmt -w $$(git ls-files '*.go')

clean:
	rm -rf bin dist node/web/dist/* node/web/node_modules tools/interop/node_modules artefacts
