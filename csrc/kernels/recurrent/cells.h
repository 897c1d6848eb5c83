/* kernels/recurrent/cells.h — the kernel of every cell; its other properties are in fs_cells. */
#ifndef FS_RECURRENT_CELLS_H
#define FS_RECURRENT_CELLS_H

#include "gru.h"
#include "gru_reset_after.h"
#include "lstm.h"
#include "rnn.h"

static const cell_kernel *const all_cells[FS_CELLS] = {
    [FS_RNN] = &rnn_kernel,
    [FS_GRU] = &gru_kernel,
    [FS_GRU_RESET_AFTER] = &gru_reset_after_kernel,
    [FS_LSTM] = &lstm_kernel,
};

static const cell_kernel *kernel_of(fs_cell cell) {
    return all_cells[cell];
}

#endif
