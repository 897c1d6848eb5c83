/* decoding.h — the contract of greedy decoding and beam search; a part of fastseq.h, which includes
 * it. */
#ifndef FS_DECODING_H
#define FS_DECODING_H

#include "fastseq.h"

/* A decoder of any cell and depth. One step of a row:
 *     x       = embedding[id], or with peek [peek, embedding[id]]
 *     h, c    = stacked recurrent layers; the input of the first is x, of another the h below it
 *     context = with enc: attention over enc with the top h, or h W_query, as the query: scaled dot
 *               products; or additive with v, see additive_weights_forward
 *     a       = h;   with enc [context, h];   with W_combine tanh([context, h] W_combine +
 *               b_combine)
 *     scores  = a W + b, or with peek [peek, a] W + b
 *     log_p   = log softmax(scores)
 * or, with W_jump, of hard attention, see fs_hard_attention:
 *     content = attention weights over enc with h W_query as the query
 *     log_p   = of content, jump_scores = h W_jump + b_jump, and for each position the scores
 *               a W + b with a = tanh(keys + h W_combine + b_combine)
 * F is the number of columns of [peek, a].
 *
 * h, c         (layers,N,H) out, the states after each row's last step; c NULL without c
 * weights      (N,Te)       out with enc, else NULL: attention weights, of hard attention priors,
 *                           of each row's last step; 0 past a row's encoder length, or if the row
 *                           had no step
 * h0, c0       (layers,N,H), the initial states; c0 NULL for zeros. May be h, c
 * peek         (N,H) or NULL; may be a layer of h0, also where that is h. NULL with W_jump
 * enc, keys    (N,Te,H) or NULL, Te at least 1, keys only with enc, and with v or W_jump;  v (H)
 * recurrent    (layers), at least 1: Wx (D,G H), or (H + D,G H) with peek, in the first; (H,G H) in
 *              others
 * embedding (V,D);  W (F,V);  b (V);  only with enc, data NULL for none: W_query (H,H), W_combine
 * (2H,H), with W_jump (H,H), and W_jump (H,J) with all of them;  b_combine (H);  b_jump (J) */
typedef struct {
    float *h, *c, *weights;
    const float *h0, *c0, *peek, *enc, *keys, *v;
    const fs_recurrent_weights *recurrent;
    fs_matrix embedding, W_query, W_combine, W_jump, W;
    const float *b_combine, *b_jump, *b;
    fs_cell cell;
    float scale;
    ptrdiff_t layers, Te, D, H;
} fs_decoder;

/* Decoding with one decoder, or with several that decode as one: the input of a step is the id that
 * the previous step chose; of the first step, start_id.
 *     p   = the mean of the decoders' probabilities, see log_mean_exp
 * A row ends when its id is end_id, or at its limit of steps. A row's results have the same bits as
 * when the layers' kernels compute its steps one by one.
 *
 * With beam 0 it is greedy:
 *     id  = argmax from first_id on of log p; of one decoder without log_probabilities, of its
 *           scores: the first of equal ones, or the first NaN
 *
 * Else it is beam search. A hypothesis is a beginning of a row's answer, and
 *     total = the sum of log p of its ids;   score = total / penalty(number of its ids),
 *     penalty(n) = ((5 + n) / 6)^length_penalty, Wu et al. 2016, arXiv 1609.08144, equation 14
 * At each step the `beam` extensions of a row's hypotheses with the highest totals are chosen, of
 * equal ones that of the better hypothesis, then of the lower id. Those that end are kept, the
 * n_best with the highest scores, of equal ones the first. Of the others go on those that could
 * still have a higher score than the last of n_best: one whose total / penalty(limit) is higher.
 *
 * The outputs ids, taken, log_probabilities and scores are then of n_best answers for each row,
 * (N,n_best,...), best first; h, c and weights of the decoders are not written. Where a row has
 * fewer answers, the others' scores are minus infinity. Where a log p is NaN, or no id is possible
 * after a hypothesis, all scores of the row are NaN.
 *
 * ids               (N,steps) out: the first taken[n] are row n's, end_id included; the others are
 *                             end_id, or 0 if that is -1
 * taken             (N)       out, the number of steps of each row
 * log_probabilities (N)       out, summed over the ids of a row, end_id included, in the order of
 *                             the steps; or NULL
 * scores            (N,n_best) out, NULL with beam 0
 * scratch           decode_floats(call, context), which depends on N, steps, V, count, beam and
 *                   n_best, and of each decoder on the cell, layers, Te, D and H, and on whether
 *                   peek, enc, v and the data of W_query, W_combine and W_jump are NULL
 * encoder_lengths   (N), each in [1, Te], or NULL: Te
 * limits            (N), each in [0, steps], or NULL: steps
 * decoders          (count), at least 1
 * start_id, first_id in [0, V);  end_id in [0, V), or -1: rows end only at their limit
 * n_best in [1, beam] unless beam is 0;  length_penalty at least 0 and finite */
typedef struct {
    int64_t *ids;
    ptrdiff_t *taken;
    double *log_probabilities, *scores;
    double length_penalty;
    float *scratch;
    const ptrdiff_t *encoder_lengths, *limits;
    const fs_decoder *decoders;
    int64_t start_id, first_id, end_id;
    ptrdiff_t N, steps, V, count, beam, n_best;
} fs_decode;

#endif
