#!/bin/sh
# build.sh [FOLDER]: make pycompose-relay.x86_64 and pycompose-relay.aarch64 out of relay.c, beside it or in FOLDER.
# Debian 12's compilers (gcc and gcc-aarch64-linux-gnu, both 12.2.0) make the bytes that are checked in;
# tests/unit/networking/test_relay_program.py compares.
set -eu
cd "$(dirname "$0")"
for machine in x86_64 aarch64; do
    "$machine-linux-gnu-gcc" -std=gnu11 -O2 -Wall -Wextra -Werror \
        -ffreestanding -fno-pie -fno-stack-protector -fno-asynchronous-unwind-tables -fomit-frame-pointer \
        -nostdlib -static -no-pie -s \
        -Wl,--build-id=none,-z,noseparate-code,-z,noexecstack,-z,norelro \
        -o "${1:-.}/pycompose-relay.$machine" relay.c
done
