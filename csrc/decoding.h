/* decoding.h — the contract of greedy decoding, a part of that in fastseq.h, which includes it. */
#ifndef FS_DECODING_H
#define FS_DECODING_H

#include "fastseq.h"

/* Greedy decoding with a decoder of any cell and depth: the input of a step is the id that the
 * previous step predicted; of the first step, start_id.
 *     x       = embedding[id], or with peek [peek, embedding[id]]
 *     h, c    = stacked recurrent layers; the input of the first is x, of another the h below it
 *     context = with enc: attention over enc with the top h, or h W_query, as the query: scaled dot
 *               products; or additive if there are keys, see additive_weights_forward
 *     a       = h;   with enc [context, h];   with W_combine tanh([context, h] W_combine +
 *               b_combine)
 *     scores  = a W + b, or with peek [peek, a] W + b
 *     id      = argmax of the scores from first_id on, or of log softmax(scores) if
 *               log_probabilities is not NULL: the first of equal ones, or the first NaN
 * A row ends when its id is end_id, or at its limit of steps. F is the number of columns of
 * [peek, a]. A row's results have the same bits as when the layers' kernels compute its steps one
 * by one.
 *
 * ids               (N,steps) out: the first taken[n] are row n's, end_id included; the others are
 *                             end_id, or 0 if that is -1
 * taken             (N)       out, the number of steps of each row
 * log_probabilities (N)       out, summed over the ids of a row, end_id included, in the order of
 *                             the steps; or NULL
 * h, c              (layers,N,H) out, the states after each row's last step; c NULL without c
 * weights           (N,Te)    out with enc, else NULL: attention weights of each row's last step; 0
 *                             past a row's encoder length, or if the row had no step
 * scratch           decode_floats(call, context), which depends on the cell, N, steps, layers, Te,
 *                   V, D and H, and on whether peek, enc, keys, and the data of W_query and of
 *                   W_combine are NULL
 * h0, c0            (layers,N,H), the initial states; c0 NULL for zeros. May be h, c
 * peek              (N,H) or NULL; may be a layer of h0, also where that is h
 * enc, keys         (N,Te,H) or NULL, Te at least 1, keys only with enc;  v (H) with keys
 * encoder_lengths   (N), each in [1, Te], or NULL: Te
 * limits            (N), each in [0, steps], or NULL: steps
 * recurrent         (layers), at least 1: Wx (D,G H), or (H + D,G H) with peek, in the first;
 *                   (H,G H) in others
 * embedding (V,D);  W (F,V);  b (V);  W_query (H,H) and W_combine (2H,H) only with enc, data NULL
 * for none;  b_combine (H)
 * start_id, first_id in [0, V);  end_id in [0, V), or -1: rows end only at their limit */
typedef struct {
    int64_t *ids;
    ptrdiff_t *taken;
    double *log_probabilities;
    float *h, *c, *weights, *scratch;
    const float *h0, *c0, *peek, *enc, *keys, *v;
    const ptrdiff_t *encoder_lengths, *limits;
    const fs_recurrent_weights *recurrent;
    fs_matrix embedding, W_query, W_combine, W;
    const float *b_combine, *b;
    fs_cell cell;
    float scale;
    int64_t start_id, first_id, end_id;
    ptrdiff_t N, steps, layers, Te, V, D, H;
} fs_decode;

#endif
