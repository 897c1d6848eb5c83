/* isa/emulated/baseline.c — bfloat16 products, emulated, for any machine. */
#define FS_TABLE fs_kernels_baseline_emulated
#define FS_NAME "baseline"
#define FS_PRECISION FS_BFLOAT16

#include "../../simd/generic.h"

#include "../all_kernels.h"
