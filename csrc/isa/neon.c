/* isa/neon.c — the kernels for AArch64 with NEON. */
#if !defined(__aarch64__) || !defined(__ARM_NEON)
#error "isa/neon.c needs an AArch64 compiler"
#endif

#define FS_TABLE fs_kernels_neon
#define FS_NAME "neon"

#include "../simd/neon.h"

#include "all_kernels.h"
