/* kernels/row_decoding.h — greedy decoding of one source by a decoder of any depth, until it ends.
 *
 * One call of each layer's kernel a step, on one row: the same bits as in a batch. Weights are
 * streamed, and read once a step, so there is nothing for threads to share out. */
#ifndef FS_ROW_DECODING_H
#define FS_ROW_DECODING_H

/* What the scratch memory of a call holds. */
typedef struct {
    float *x;      /* (H + D)  what the first layer reads: [peek | embedding] */
    float *h, *c;  /* (layers, H) */
    float *query;  /* (H)      what attention compares the encoder's states with */
    float *both;   /* (2 H)    [context | top h] */
    float *output; /* (2 H)    [peek | attentional state] */
    float *weights, *scores, *log_probabilities, *recurrent;
} row_memory;

/* How a recurrent layer takes a step of one row. */
static fs_recurrent_size row_step_size(const fs_decode_row *call, ptrdiff_t layer) {
    const ptrdiff_t first = call->D + (call->peek ? call->H : 0);
    return (fs_recurrent_size){.cell = call->cell,
                               .directions = 1,
                               .inference = 1,
                               .N = 1,
                               .T = 1,
                               .D = layer > 0 ? call->H : first,
                               .H = call->H};
}

/* Returns how many floats it used of `memory`, which may be NULL. */
static ptrdiff_t place_row(row_memory *row, const fs_decode_row *call, float *memory) {
    arena scratch = {.memory = memory};
    const ptrdiff_t H = call->H;
    row->x = take(&scratch, H + call->D);
    row->h = take(&scratch, call->layers * H);
    row->c = take(&scratch, call->layers * H);
    row->query = take(&scratch, H);
    row->both = take(&scratch, 2 * H);
    row->output = take(&scratch, 2 * H);
    row->weights = take(&scratch, call->Te);
    row->scores = take(&scratch, call->V);
    row->log_probabilities = take(&scratch, call->V);
    const fs_recurrent_size first = row_step_size(call, 0), other = row_step_size(call, 1);
    row->recurrent =
        take(&scratch, larger(recurrent_forward_floats(&first), recurrent_forward_floats(&other)));
    return scratch.used;
}

static void affine_row(float *y, const float *x, fs_matrix W, const float *b, ptrdiff_t K,
                       ptrdiff_t M) {
    affine_forward(y, x, W, b, 0, 1, K, M, 1);
}

/* All layers read one id: h and c of each move on. */
static void step_layers(const fs_decode_row *call, const row_memory *row, int64_t id) {
    const ptrdiff_t H = call->H;
    float *embedded = row->x;
    if (call->peek) {
        memcpy(row->x, call->peek, (size_t)H * sizeof(float));
        embedded += H;
    }
    embedding_forward(embedded, call->embedding, &id, 1, call->D, 1);
    for (ptrdiff_t layer = 0; layer < call->layers; ++layer) {
        float *h = row->h + layer * H, *c = row->c + layer * H;
        fs_recurrent_forward step = {.hs = row->query, /* the same as h */
                                     .h = h,
                                     .c = c,
                                     .scratch = row->recurrent,
                                     .xs = layer > 0 ? h - H : row->x,
                                     .h0 = h,
                                     .c0 = c,
                                     .size = row_step_size(call, layer)};
        step.weights[0] = call->recurrent[layer];
        recurrent_forward(&step, 1);
    }
}

/* both <- [context | h] */
static void attend(const fs_decode_row *call, const row_memory *row, const float *h) {
    const ptrdiff_t H = call->H;
    const fs_attention_size size = {.N = 1, .Te = call->Te, .Td = 1, .H = H};
    const float *query = h;
    if (call->W_query.data) {
        affine_row(row->query, h, call->W_query, NULL, H, H);
        query = row->query;
    }
    if (call->keys) {
        additive_weights_forward(row->weights, call->keys, query, call->v, size, 1);
        weighted_sum_forward(row->both, call->enc, row->weights, size, 1);
    } else {
        attention_forward(row->both, row->weights, call->enc, query, call->scale, size, 1);
    }
    memcpy(row->both + H, h, (size_t)H * sizeof(float));
}

/* log_probabilities <- those of what comes next */
static void score_next(const fs_decode_row *call, const row_memory *row) {
    const ptrdiff_t H = call->H;
    const float *h = row->h + (call->layers - 1) * H;
    float *output = row->output;
    if (call->peek) {
        memcpy(output, call->peek, (size_t)H * sizeof(float));
        output += H;
    }
    if (call->enc) {
        attend(call, row, h);
        affine_row(output, row->both, call->W_combine, call->b_combine, 2 * H, H);
        tanh_array(output, output, H);
    } else {
        memcpy(output, h, (size_t)H * sizeof(float));
    }
    affine_row(row->scores, row->output, call->W, call->b, output - row->output + H, call->V);
    log_softmax_row(row->log_probabilities, row->scores, call->V);
}

static void decode_row(const fs_decode_row *call) {
    row_memory row;
    place_row(&row, call, call->scratch);
    const size_t states = (size_t)(call->layers * call->H) * sizeof(float);
    memcpy(row.h, call->h0, states);
    if (call->c0) {
        memcpy(row.c, call->c0, states);
    }
    int64_t id = call->start_id;
    *call->log_probability = 0;
    for (*call->taken = 0; *call->taken < call->steps && id != call->end_id;) {
        step_layers(call, &row, id);
        score_next(call, &row);
        const float *possible = row.log_probabilities + call->first_id;
        id = call->first_id + index_of_largest(possible, call->V - call->first_id);
        call->ids[(*call->taken)++] = id;
        *call->log_probability += (double)row.log_probabilities[id];
    }
}

/* What the caller must bring. */
static ptrdiff_t decode_row_floats(const fs_decode_row *call) {
    row_memory row;
    return place_row(&row, call, NULL);
}

#endif
