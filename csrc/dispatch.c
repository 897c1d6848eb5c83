/* dispatch.c — the tables of this build that this CPU supports. */
#if defined(FS_HAVE_AMX) && defined(__linux__) /* whose permission is requested below */
#define ON_LINUX_WITH_AMX
#define _GNU_SOURCE /* syscall */
#include <sys/syscall.h>
#include <unistd.h>
/* asm/prctl.h of Linux 5.16 */
#define ARCH_REQ_XCOMP_PERM 0x1023
#define XFEATURE_TILE_DATA 18
#endif

#include "fastseq.h"

#if defined(FS_HAVE_AVX2) || defined(FS_HAVE_AVX512)
#include <cpuid.h>

/* Not __builtin_cpu_supports: it needs a run-time library of the compiler's, and that of one
 * cross-compiler (Zig 0.17) reports no feature at all. Bits as in Intel's manual, volume 2, CPUID,
 * and volume 1, 13.3, XCR0: whether the system saves the registers. */
enum {
    LEAF1_ECX_FMA = 1 << 12,
    LEAF1_ECX_OSXSAVE = 1 << 27,
    LEAF7_EBX_AVX2 = 1 << 5,
    LEAF7_EBX_AVX512_F_DQ = 1 << 16 | 1 << 17,
    LEAF7_EBX_AVX512_BW = 1 << 30,
    XCR0_YMM = 0x06,      /* XMM, YMM */
    XCR0_ZMM = 0xe6,      /* these, the mask registers, the upper halves, ZMM16 to ZMM31 */
    XCR0_TILES = 0x60000, /* tile configuration and data */
    LEAF7_EDX_AMX = 1 << 22 | 1 << 24, /* AMX-BF16, AMX-TILE */
    LEAF7_1_EAX_AVX512_BF16 = 1 << 5,
};
#define LEAF7_EBX_AVX512_VL (1u << 31)

/* Whether all bits of `mask` are set. */
static int has(unsigned value, unsigned mask) {
    return (value & mask) == mask;
}

/* EBX of CPUID's leaf 7; 0 without AVX2 and FMA, or if the system does not save these registers. */
static unsigned cpu_leaf7(unsigned saved) {
    unsigned eax, ebx, ecx, edx, xcr0, high;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !has(ecx, LEAF1_ECX_FMA | LEAF1_ECX_OSXSAVE)) {
        return 0;
    }
    __asm__ volatile("xgetbv" : "=a"(xcr0), "=d"(high) : "c"(0));
    if (!has(xcr0, saved) || !__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) {
        return 0;
    }
    return has(ebx, LEAF7_EBX_AVX2) ? ebx : 0;
}

/* What the CPU has, by the instruction sets of the tables. */
enum { HAS_AVX2 = 1, HAS_AVX512 = 2, HAS_AVX512_BF16 = 4, HAS_AMX = 8 };

static int cpu_features(void) {
    unsigned eax, ebx, ecx, edx;
    const unsigned avx512 = LEAF7_EBX_AVX512_F_DQ | LEAF7_EBX_AVX512_BW | LEAF7_EBX_AVX512_VL;
    if (!cpu_leaf7(XCR0_YMM)) {
        return 0;
    }
    if (!has(cpu_leaf7(XCR0_ZMM), avx512)) {
        return HAS_AVX2;
    }
    if (!__get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) || !has(eax, LEAF7_1_EAX_AVX512_BF16)) {
        return HAS_AVX2 | HAS_AVX512;
    }
    /* AMX only with AVX512_BF16, by which the operands are rounded */
    if (!cpu_leaf7(XCR0_ZMM | XCR0_TILES) || !__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) ||
        !has(edx, LEAF7_EDX_AMX)) {
        return HAS_AVX2 | HAS_AVX512 | HAS_AVX512_BF16;
    }
    return HAS_AVX2 | HAS_AVX512 | HAS_AVX512_BF16 | HAS_AMX;
}
#endif

int fs_tables(const fs_kernels *tables[FS_MAX_TABLES]) {
    int count = 0;
#if defined(FS_HAVE_AVX2) || defined(FS_HAVE_AVX512)
    const int features = cpu_features();
#endif
    tables[count++] = &fs_kernels_baseline;
#ifdef FS_HAVE_AVX2
    if (features & HAS_AVX2) {
        tables[count++] = &fs_kernels_avx2;
    }
#endif
#ifdef FS_HAVE_AVX512
    if (features & HAS_AVX512) {
        tables[count++] = &fs_kernels_avx512;
    }
#endif
#ifdef FS_HAVE_NEON
    tables[count++] = &fs_kernels_neon; /* every AArch64 has it */
#endif
    tables[count++] = &fs_kernels_baseline_emulated;
#ifdef FS_HAVE_AVX2
    if (features & HAS_AVX2) {
        tables[count++] = &fs_kernels_avx2_emulated;
    }
#endif
#ifdef FS_HAVE_AVX512
    if (features & HAS_AVX512) {
        tables[count++] = &fs_kernels_avx512_emulated;
    }
#endif
#ifdef FS_HAVE_NEON
    tables[count++] = &fs_kernels_neon_emulated;
#endif
#ifdef FS_HAVE_AVX512_BF16
    if (features & HAS_AVX512_BF16) {
        tables[count++] = &fs_kernels_avx512_bf16;
    }
#endif
#ifdef ON_LINUX_WITH_AMX
    if (features & HAS_AMX) {
        tables[count++] = &fs_kernels_amx;
    }
#endif
    return count;
}

int fs_permit(const fs_kernels *table) {
#ifdef ON_LINUX_WITH_AMX
    if (table == &fs_kernels_amx) {
        return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_TILE_DATA) == 0;
    }
#else
    (void)table;
#endif
    return 1;
}
