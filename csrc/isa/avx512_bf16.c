/* isa/avx512_bf16.c — bfloat16 products for x86-64 with AVX512_BF16. */
#if !defined(__AVX512F__) || !defined(__AVX512DQ__) || !defined(__AVX512BF16__)
#error "isa/avx512_bf16.c needs -mavx512f -mavx512dq -mavx512bf16"
#endif

#define FS_TABLE fs_kernels_avx512_bf16
#define FS_NAME "avx512_bf16"
#define FS_PRECISION FS_BFLOAT16
#define FS_TILE "bf16.h"

#include "../simd/avx512.h"

#include "all_kernels.h"
