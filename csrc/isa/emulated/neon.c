/* isa/emulated/neon.c — bfloat16 products, emulated, for AArch64 with NEON. */
#if !defined(__aarch64__) || !defined(__ARM_NEON)
#error "isa/emulated/neon.c needs an AArch64 compiler"
#endif

#define FS_TABLE fs_kernels_neon_emulated
#define FS_NAME "neon"
#define FS_PRECISION FS_BFLOAT16

#include "../../simd/neon.h"

#include "../all_kernels.h"
