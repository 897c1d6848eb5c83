/* isa/emulated/avx2.c — bfloat16 products, emulated, for x86-64 with AVX2 and FMA. */
#if !defined(__AVX2__) || !defined(__FMA__)
#error "isa/emulated/avx2.c needs -mavx2 -mfma"
#endif

#define FS_TABLE fs_kernels_avx2_emulated
#define FS_NAME "avx2"
#define FS_PRECISION FS_BFLOAT16

#include "../../simd/avx2.h"

#include "../all_kernels.h"
