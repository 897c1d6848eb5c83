/* tables.c — in place of csrc/dispatch.c: the tables of simulated instructions. */
#include "fastseq.h"

const fs_kernels *fs_table(int index) {
    static const fs_kernels *const tables[] = {
        &fs_kernels_avx512,
        &fs_kernels_avx512_emulated,
        &fs_kernels_avx512_bf16,
        &fs_kernels_amx,
    };
    return index >= 0 && index < (int)(sizeof tables / sizeof *tables) ? tables[index] : NULL;
}

int fs_permit(const fs_kernels *table) {
    return table != NULL;
}
