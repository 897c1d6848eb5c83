/* float_mode.h — denormals are treated as zero while a kernel runs.
 *
 * A saturated model multiplies many numbers below 2^-126, and on most processors such a product
 * takes a hundred times as long as another. Treating them as zero changes a result by less than its
 * rounding error. The mode is per thread: a task sets it when it begins and restores it after. */
#ifndef FS_FLOAT_MODE_H
#define FS_FLOAT_MODE_H

#include <stdint.h>

#if defined(__SSE__)

#define FS_ZERO_DENORMALS 0x8040u /* MXCSR: results flushed to zero, operands taken as zero */

static inline uint64_t begin_zero_denormals(void) {
    const unsigned before = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(before | FS_ZERO_DENORMALS);
    return before;
}

static inline void restore_float_mode(uint64_t before) {
    __builtin_ia32_ldmxcsr((unsigned)before);
}

#elif defined(__aarch64__)

#define FS_ZERO_DENORMALS (1u << 24) /* FPCR: FZ, results and operands */

static inline uint64_t begin_zero_denormals(void) {
    uint64_t before;
    __asm__ volatile("mrs %0, fpcr" : "=r"(before));
    __asm__ volatile("msr fpcr, %0" : : "r"(before | FS_ZERO_DENORMALS) : "memory");
    return before;
}

static inline void restore_float_mode(uint64_t before) {
    __asm__ volatile("msr fpcr, %0" : : "r"(before) : "memory");
}

#else /* no such mode: denormals are computed */

static inline uint64_t begin_zero_denormals(void) {
    return 0;
}

static inline void restore_float_mode(uint64_t before) {
    (void)before;
}

#endif

#endif
