/* isa/emulated/avx512.c — bfloat16 products, emulated, for x86-64 with AVX-512. */
#if !defined(__AVX512F__) || !defined(__AVX512DQ__)
#error "isa/emulated/avx512.c needs -mavx512f -mavx512dq"
#endif

#define FS_TABLE fs_kernels_avx512_emulated
#define FS_NAME "avx512"
#define FS_PRECISION FS_BFLOAT16

#include "../../simd/avx512.h"

#include "../all_kernels.h"
