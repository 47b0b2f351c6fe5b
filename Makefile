# make demo      builds everything and runs the example, killed and resumed
# make test      runs every test
# make lint      formatting, and that no layer looks upward
# make bench     prints what the store costs beside the bare disk
# make install   the program `warmstart`, its page and completions (PREFIX, DESTDIR)

SWIFT ?= swift
PREFIX ?= /usr/local
DESTDIR ?=
LZ4_HEADER ?= /usr/include/lz4.h

.PHONY: all demo test kill-test lint bench install clean deps

all: deps
	$(SWIFT) build -c release --product warmstart

# Installs what is missing, and says so.
deps:
	@command -v $(SWIFT) >/dev/null || { echo "Swift is missing: see https://swift.org/install" >&2; exit 1; }
	@[ -e $(LZ4_HEADER) ] || Tools/install-liblz4

demo: deps
	$(SWIFT) build -c release --product warmstart
	$(SWIFT) build -c release --product co2-gam
	Examples/co2-gam/demo "$$($(SWIFT) build -c release --show-bin-path)/co2-gam" \
	  "$$($(SWIFT) build -c release --show-bin-path)/warmstart" demo-out

# Two stages, so that what is said last is the verdict of the tests.
test: deps
	$(SWIFT) build --build-tests
	$(SWIFT) test --skip-build --disable-xctest

# A thousand kills instead of the hundred of `make test`.
kill-test: deps
	$(SWIFT) build --build-tests
	WARMSTART_KILLS=1000 $(SWIFT) test --skip-build --disable-xctest --filter aKilledWriterLosesNothing

lint: deps
	$(SWIFT) format lint --strict -r Package.swift Sources Tools Tests Examples Benchmarks
	Tools/check-layers

bench: deps
	Benchmarks/run all

install: deps
	program=$$(Tools/build-static) && share=$(DESTDIR)$(PREFIX)/share && \
	install -D -m 755 -s "$$program" $(DESTDIR)$(PREFIX)/bin/warmstart && \
	install -D -m 644 Tools/warmstart/warmstart.1 $$share/man/man1/warmstart.1 && \
	install -d $$share/bash-completion/completions $$share/zsh/site-functions \
	  $$share/fish/vendor_completions.d && \
	"$$program" --generate-completion-script bash > $$share/bash-completion/completions/warmstart && \
	"$$program" --generate-completion-script zsh > $$share/zsh/site-functions/_warmstart && \
	"$$program" --generate-completion-script fish > $$share/fish/vendor_completions.d/warmstart.fish

clean:
	rm -rf .build demo-out
