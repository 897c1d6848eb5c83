/* dispatch.c — the tables of this build that this CPU supports. */
#include "fastseq.h"

#if defined(FS_HAVE_AVX2) || defined(FS_HAVE_AVX512)
/* __builtin_cpu_supports reads CPUID, and XGETBV: whether the system saves the wide registers. */
static int cpu_has_avx2(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
#endif

#ifdef FS_HAVE_AVX512
static int cpu_has_avx512(void) {
    return cpu_has_avx2() && __builtin_cpu_supports("avx512f") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl");
}
#endif

const fs_kernels *fs_table(int index) {
    const fs_kernels *tables[4];
    int count = 0;
    tables[count++] = &fs_kernels_baseline;
#ifdef FS_HAVE_AVX2
    if (cpu_has_avx2()) {
        tables[count++] = &fs_kernels_avx2;
    }
#endif
#ifdef FS_HAVE_AVX512
    if (cpu_has_avx512()) {
        tables[count++] = &fs_kernels_avx512;
    }
#endif
#ifdef FS_HAVE_NEON
    tables[count++] = &fs_kernels_neon; /* every AArch64 has it */
#endif
    return index >= 0 && index < count ? tables[index] : NULL;
}
