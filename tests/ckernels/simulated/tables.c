/* tables.c — in place of csrc/dispatch.c: the tables of simulated instructions. */
#include "fastseq.h"

int fs_tables(const fs_kernels *tables[FS_MAX_TABLES]) {
    int count = 0;
    tables[count++] = &fs_kernels_avx512;
    tables[count++] = &fs_kernels_avx512_emulated;
    tables[count++] = &fs_kernels_avx512_bf16;
    tables[count++] = &fs_kernels_amx;
    return count;
}

int fs_permit(const fs_kernels *table) {
    return table != NULL;
}
