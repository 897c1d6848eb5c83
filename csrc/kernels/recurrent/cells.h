/* kernels/recurrent/cells.h — the passes of every cell; its other properties are in fs_cells. */
#ifndef FS_RECURRENT_CELLS_H
#define FS_RECURRENT_CELLS_H

#include "gru.h"
#include "gru_reset_after.h"
#include "lstm.h"
#include "rnn.h"

static const cell_passes *const all_passes[FS_CELLS] = {
    [FS_RNN] = &rnn_passes,
    [FS_GRU] = &gru_passes,
    [FS_GRU_RESET_AFTER] = &gru_reset_after_passes,
    [FS_LSTM] = &lstm_passes,
};

static const cell_passes *passes_of(fs_cell cell) {
    return all_passes[cell];
}

#endif
