#!/bin/sh
# Every kernel under valgrind's memcheck: exits with a report of any value that is used before it is
# written, any access outside of an allocation, and any leak. CC names the compiler. The arguments are
# names of tables; default: baseline and AVX2 (valgrind knows no AVX-512), of float32 and of bfloat16.
set -eu
cd "$(dirname "$0")/../.."
command -v valgrind >/dev/null || {
    echo "skipped: no valgrind here; apt-get install valgrind"
    exit 0
}
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT

compile() {
    "${CC:-cc}" -std=c11 -g -O1 -DNDEBUG -Wall -Wextra -ffp-contract=off -fno-math-errno \
        -fno-trapping-math -Icsrc -pthread "$@"
}

tables="baseline baseline:bfloat16"
defines=
compile -c csrc/isa/baseline.c -o "$build/baseline.o"
compile -c csrc/isa/emulated/baseline.c -o "$build/emulated_baseline.o"
if [ "$(uname -m)" = x86_64 ]; then
    tables="$tables avx2 avx2:bfloat16"
    defines=-DFS_HAVE_AVX2
    compile -mavx2 -mfma -c csrc/isa/avx2.c -o "$build/avx2.o"
    compile -mavx2 -mfma -c csrc/isa/emulated/avx2.c -o "$build/emulated_avx2.o"
fi
# The bytes around each array are valgrind's; and every 65,521st float is enough.
compile $defines -DQUICK -DGUARD_BYTES=0 -DFLOAT_STRIDE=65521 tests/ckernels/driver.c csrc/dispatch.c \
    csrc/thread_pool.c "$build"/*.o -lm -o "$build/driver"
[ $# -gt 0 ] || set -- $tables
valgrind --quiet --error-exitcode=99 --leak-check=full --fair-sched=yes "$build/driver" "$@"
