# make demo      builds everything and runs the example, killed and resumed
# make test      runs every test
# make test-asan, make test-tsan   the same under the address and the thread sanitizer
# make simulate  simulated lives of a store on a disk that fails (SEEDS, 100000)
# make fuzz      a minute of fuzzing for each target; see Fuzz/README.md
# make lint      formatting, and that no layer looks upward
# make bench     prints what the store costs beside the bare disk
# make bench-check   fails if an operation has become dearer, counted in instructions
# make install   the program `warmstart`, its page and completions (PREFIX, DESTDIR)

SWIFT ?= swift
PREFIX ?= /usr/local
DESTDIR ?=
LZ4_HEADER ?= /usr/include/lz4.h
SEEDS ?= 100000
KILLS ?= 1000

.PHONY: all demo test kill-test simulate fuzz test-asan test-tsan lint bench bench-check install clean deps

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

# Optimised, with the checks that a release keeps: every bit flipped and thousands of simulated lives
# take a minute so, and a quarter of an hour otherwise. (`swift test` runs them without.)
OPTIMISED = -c release -Xswiftc -enable-testing --scratch-path .build-test

# Two stages, so that what is said last is the verdict of the tests.
test: deps
	$(SWIFT) build --build-tests $(OPTIMISED)
	$(SWIFT) test --skip-build --disable-xctest $(OPTIMISED)

# A thousand kills instead of the hundred of `make test`, or as many as KILLS says.
kill-test: deps
	$(SWIFT) build --build-tests $(OPTIMISED)
	WARMSTART_KILLS=$(KILLS) $(SWIFT) test --skip-build --disable-xctest $(OPTIMISED) \
	  --filter aKilledWriterLosesNothing

# What takes an hour under a sanitizer is scaled down: every 37th bit flipped, ten kills, a few of the
# simulated lives and of the repairs. A sanitizer that found something makes the run fail, whatever the
# tests say.
SCALED = WARMSTART_EVERY=37 WARMSTART_KILLS=10 WARMSTART_COMPACTOR_KILLS=10 WARMSTART_SEEDS=30 \
  WARMSTART_REPAIRS=30 SWIFT_BACKTRACE=enable=no

test-asan: deps
	$(SWIFT) build --build-tests --sanitize address --scratch-path .build-asan
	$(SCALED) ASAN_OPTIONS=detect_stack_use_after_return=1 \
	  $(SWIFT) test --skip-build --sanitize address --scratch-path .build-asan --disable-xctest

# A child of a fork, which has one thread of its parent's, goes on under the sanitizer.
test-tsan: deps
	$(SWIFT) build --build-tests --sanitize thread --scratch-path .build-tsan
	$(SCALED) WARMSTART_FORKS_AMID_WORK=0 TSAN_OPTIONS=die_after_fork=0:halt_on_error=0 \
	  $(SWIFT) test --skip-build --sanitize thread --scratch-path .build-tsan --disable-xctest

# Each seed is one life: processes, threads, crashes, failing disks. A failing seed prints itself.
simulate: deps
	$(SWIFT) build -c release --product simulate
	"$$($(SWIFT) build -c release --show-bin-path)/simulate" --seeds $(SEEDS)

fuzz: deps
	Fuzz/run all 60

lint: deps
	$(SWIFT) format lint --strict -r Package.swift Sources Tools Tests Examples Benchmarks Fuzz
	Tools/check-layers

bench: deps
	Benchmarks/run all

bench-check: deps
	Benchmarks/check

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
	rm -rf .build .build-test .build-asan .build-tsan .build-fuzz demo-out
