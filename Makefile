# Everything that is done often. Each target is a script in Scripts/ that can be read and run by itself.

PREFIX ?= /usr/local
export PREFIX DESTDIR

.PHONY: help demo build test test-long fuzz check kit install bench clean

help:
	@echo 'make demo           build, then back up, destroy, restore and undo a real app in a scratch folder'
	@echo 'make build          .build/release/chastipi-backup'
	@echo 'make test           every test but the long ones'
	@echo 'make test-long      the long ones'
	@echo 'make fuzz           read zips and repositories that are changed at random (ARGS=SECONDS, 60)'
	@echo 'make check          format, imports, sizes, shell scripts'
	@echo 'make kit APP=DIR    put backups/ with backup.sh and the program into an app'
	@echo 'make install        below PREFIX (/usr/local), with DESTDIR in front'
	@echo 'make bench          compare with other tools (ARGS="--files 1000 --large-mb 64" for a small run)'
	@echo 'make clean          remove what was built'
	@echo 'Debian packages that are missing are installed (with sudo) unless CHASTIPI_NO_INSTALL=1.'

demo:
	@Scripts/demo

build:
	@Scripts/build

test:
	@Scripts/test

test-long:
	@Scripts/test --long

fuzz:
	@Scripts/fuzz $(ARGS)

check:
	@Scripts/check

kit:
	@Scripts/kit "$(APP)"

install:
	@Scripts/install

bench: build
	@Scripts/install-packages bench
	@Benchmarks/run $(ARGS)
	@Benchmarks/run-repositories $(ARGS)

clean:
	rm -rf .build
