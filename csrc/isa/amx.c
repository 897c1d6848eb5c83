/* isa/amx.c — bfloat16 products for x86-64 with AMX. */
#if !defined(__AVX512BF16__) || !defined(__AMX_TILE__) || !defined(__AMX_BF16__)
#error "isa/amx.c needs -mavx512f -mavx512dq -mavx512bf16 -mamx-tile -mamx-bf16"
#endif

#define FS_TABLE fs_kernels_amx
#define FS_NAME "amx"
#define FS_PRECISION FS_BFLOAT16
#define FS_TILE "amx.h"

#include "../simd/avx512.h"

#include "all_kernels.h"
