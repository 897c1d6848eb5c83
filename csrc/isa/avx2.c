/* isa/avx2.c — the kernels for x86-64 with AVX2 and FMA. */
#if !defined(__AVX2__) || !defined(__FMA__)
#error "isa/avx2.c needs -mavx2 -mfma"
#endif

#define FS_TABLE fs_kernels_avx2
#define FS_NAME "avx2"

#include "../simd/avx2.h"

#include "all_kernels.h"
