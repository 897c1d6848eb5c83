#!/bin/sh
# Cross-compiles the AArch64 tables and runs the driver of tests/ckernels on them, in an emulator
# (natively on an AArch64 machine). The exit status is that of the driver, or 0 if the tools are not
# installed, with a message. CROSS_CC and EMULATOR name other tools.
#
#     sh tests/neon/run.sh [TABLE ...]      without names: baseline neon
set -eu
[ $# -gt 0 ] || set -- baseline neon
cd "$(dirname "$0")/../.."

# As in setup.py; tests/kernels/test_ckernels.py compares them.
FLAGS="-O3 -DNDEBUG -g0 -std=c11 -ffp-contract=off -fno-math-errno -fno-trapping-math
    -fvisibility=hidden"

if [ "$(uname -m)" = aarch64 ]; then
    compiler=${CROSS_CC:-${CC:-cc}}
    emulator=${EMULATOR:-}
    static=
else
    compiler=${CROSS_CC:-aarch64-linux-gnu-gcc}
    emulator=${EMULATOR:-qemu-aarch64}
    static=-static
fi

skip() {
    echo "skipped: $1; apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user"
    exit 0
}
for command in "$compiler" "$emulator"; do
    tool=${command%% *}
    [ -z "$tool" ] || command -v "$tool" >/dev/null || skip "no $tool here"
done
echo '#include <stdlib.h>' | $compiler -E - >/dev/null 2>&1 || skip "no C library for $compiler here"

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
jobs=""
for source in csrc/isa/baseline.c csrc/isa/neon.c csrc/isa/emulated/baseline.c \
    csrc/isa/emulated/neon.c csrc/dispatch.c csrc/thread_pool.c tests/ckernels/driver.c; do
    # shellcheck disable=SC2086  # the flags are a list
    $compiler $FLAGS -pthread -Wall -Wextra -DFS_HAVE_NEON -Icsrc \
        -c "$source" -o "$folder/$(echo "$source" | tr / _).o" &
    jobs="$jobs $!"
done
for job in $jobs; do
    wait "$job"
done
$compiler -pthread $static "$folder"/*.o -lm -o "$folder/driver"
$emulator "$folder/driver" "$@"
