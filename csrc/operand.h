/* operand.h — rounds the operands of products to a table's precision. */
#ifndef FS_OPERAND_H
#define FS_OPERAND_H

#include <stdint.h>

#include "fastseq.h"

#ifndef FS_PRECISION
#define FS_PRECISION FS_FLOAT32
#endif

typedef uint32_t float_bits __attribute__((vector_size(sizeof(vf))));
typedef int32_t float_ints __attribute__((vector_size(sizeof(vf))));

/* The nearest bfloat16 of each lane, the even one of two, as the instructions of AVX512_BF16 round:
 * denormals become zeros, and every NaN a quiet one. */
static inline vf round_to_bfloat16(vf x) {
#ifdef HAS_BFLOAT16_ROUNDING
    return vf_round_to_bfloat16(x);
#else
    const float_bits bits = (float_bits)x;
    const float_bits magnitude = bits & 0x7FFFFFFF;
    const float_bits is_nan = (float_bits)((float_ints)magnitude > 0x7F800000);
    const float_bits is_denormal = (float_bits)((float_ints)magnitude < 0x00800000);
    const float_bits rounded = bits + 0x7FFF + (bits >> 16 & 1);
    float_bits result = (is_nan & (bits | 0x00400000)) | (~is_nan & rounded);
    result = (is_denormal & (bits & 0x80000000)) | (~is_denormal & result);
    return (vf)(result & 0xFFFF0000);
#endif
}

/* An operand of a product. */
static inline vf operand(vf x) {
    return FS_PRECISION == FS_BFLOAT16 ? round_to_bfloat16(x) : x;
}

#endif
