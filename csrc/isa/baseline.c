/* isa/baseline.c — the kernels for any machine, in portable vector code. */
#define FS_TABLE fs_kernels_baseline
#define FS_NAME "baseline"

#include "../simd/generic.h"

#include "all_kernels.h"
