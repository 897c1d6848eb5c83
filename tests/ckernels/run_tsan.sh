#!/bin/sh
# The thread pool and every kernel with the thread sanitizer: exits with a report of any data race.
# CC names the compiler. The arguments are names of tables; default: all that this CPU supports.
set -eu
cd "$(dirname "$0")/../.."
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT

# Without address space randomization, if possible: the thread sanitizer of older compilers fails to
# map its memory with it.
fixed_addresses="setarch $(uname -m) -R"
$fixed_addresses true 2>/dev/null || fixed_addresses=

compile() {
    "${CC:-cc}" -std=c11 -g -O1 -fsanitize=thread -UNDEBUG -Wall -Wextra -ffp-contract=off \
        -fno-math-errno -fno-trapping-math -Icsrc -pthread "$@"
}

echo "thread pool"
compile -DCAN_FORK=0 -DCAN_LIMIT_MEMORY=0 \
    tests/ckernels/thread_pool/main.c csrc/thread_pool.c -o "$build/thread_pool"
$fixed_addresses "$build/thread_pool"

echo "kernels"
defines=
add_table() {
    if compile "$@" -DPROBE -x c -c /dev/null -o "$build/probe.o" 2>/dev/null; then
        compile "$@" -c "csrc/isa/$name.c" -o "$build/$name.o"
        if [ -e "csrc/isa/emulated/$name.c" ]; then
            compile "$@" -c "csrc/isa/emulated/$name.c" -o "$build/emulated_$name.o"
        fi
        defines="$defines -DFS_HAVE_$(echo "$name" | tr '[:lower:]' '[:upper:]')"
    fi
}
name=baseline add_table
case $(uname -m) in
x86_64)
    name=avx2 add_table -mavx2 -mfma
    avx512="-mavx512f -mavx512dq -mavx512bw -mavx512vl -mfma"
    name=avx512 add_table $avx512
    name=avx512_bf16 add_table $avx512 -mavx512bf16
    ;;
aarch64) name=neon add_table ;;
esac
# the driver itself is one thread: without the sanitizer it is faster
compile $defines csrc/dispatch.c csrc/thread_pool.c -c
mv dispatch.o thread_pool.o "$build"
compile -DQUICK -fno-sanitize=thread tests/ckernels/driver.c -c -o "$build/driver.o"
compile "$build"/driver.o "$build"/dispatch.o "$build"/thread_pool.o \
    $(for table in baseline avx2 avx512 avx512_bf16 neon; do ls "$build"/*"$table.o" 2>/dev/null || true; done) \
    -lm -o "$build/driver"
$fixed_addresses "$build/driver" "$@"
