/* kernels/decoding.h — greedy decoding: the best id of a step is what the next step reads.
 *
 * Batch rows are independent: each thread takes its rows through all steps. Weights are packed
 * once; a step then is that of the layers for these rows, with the same bits.
 *
 *     inputs    (N, X)  [peek | embedding]
 *     features  (N, K)  [context or peek | h], or h alone
 *     cells     (N, K)  c, where features have h: a recurrent layer has both at one stride */
#ifndef FS_DECODING_H
#define FS_DECODING_H

typedef struct {
    const fs_greedy_decode *call;
    recurrent_pass lstm; /* of one step, from the state in features and cells to the next */
    ptrdiff_t X, K, M;   /* M: columns of W and scores, full vectors */
    float *inputs, *features, *cells, *scores;
    float *packed_W, *packed_b; /* (K, M), (M) */
} greedy_pass;

static greedy_pass plan_greedy(const fs_greedy_decode *call) {
    const ptrdiff_t H = call->H;
    assert(!call->peek || !call->enc);
    greedy_pass pass = {
        .call = call,
        .lstm = {.directions = 1},
        .X = call->D + (call->peek ? H : 0),
        .K = call->peek || call->enc ? 2 * H : H,
        .M = round_up(call->V, FS_LANES),
    };
    recurrent_run *run = &pass.lstm.runs[0];
    /* The layer packs weights that enough rows will read: here all steps do. */
    const ptrdiff_t readers = smaller(call->N * call->steps, FEW_ROWS + 1);
    *run = plan_recurrent(&(fs_recurrent_size){.cell = FS_LSTM,
                                               .directions = 1,
                                               .N = larger(call->N, readers),
                                               .T = 1,
                                               .D = pass.X,
                                               .H = H});
    run->Wc = run->Wx = call->lstm.Wx;
    run->Wh = call->lstm.Wh;
    run->b = call->lstm.b;
    run->columns = pass.K;
    return pass;
}

/* Returns how many floats it used of `memory`, which may be NULL. */
static ptrdiff_t place_greedy(greedy_pass *pass, float *memory) {
    const ptrdiff_t N = pass->call->N;
    recurrent_run *run = &pass->lstm.runs[0];
    arena scratch = {.memory = memory};
    scratch.used += place_cache(run, memory);
    scratch.used += place_forward(run, memory ? memory + scratch.used : NULL);
    pass->inputs = take(&scratch, N * pass->X);
    pass->features = take(&scratch, N * pass->K);
    pass->cells = take(&scratch, N * pass->K);
    pass->scores = take(&scratch, N * pass->M);
    pass->packed_W = take(&scratch, pass->K * pass->M);
    pass->packed_b = take(&scratch, pass->M);
    return scratch.used;
}

/* W and b with zeros behind their last columns, so that no step has to pack a last vector. */
static void pack_scores(const greedy_pass *pass) {
    const fs_greedy_decode *call = pass->call;
    const fs_matrix W = call->W;
    const int vectors = (int)count_vectors(call->V);
    pack_panel(pass->packed_W, W.data, W.row, FS_LANES * W.column, W.column, pass->K, vectors,
               call->V, FS_LANES);
    pack_panel(pass->packed_b, call->b, 0, FS_LANES, 1, 1, vectors, call->V, FS_LANES);
}

/* What stays the same over all steps, and the first state. */
static void load_greedy_rows(const greedy_pass *pass, ptrdiff_t begin, ptrdiff_t end) {
    const fs_greedy_decode *call = pass->call;
    const ptrdiff_t H = call->H;
    const size_t state = (size_t)H * sizeof(float);
    for (ptrdiff_t n = begin; n < end; ++n) {
        float *features = pass->features + n * pass->K;
        memcpy(features + pass->K - H, call->h0 + n * H, state);
        memset(pass->cells + n * pass->K, 0, (size_t)pass->K * sizeof(float));
        if (call->peek) {
            memcpy(features, call->peek + n * H, state);
            memcpy(pass->inputs + n * pass->X, call->peek + n * H, state);
        }
    }
}

/* From ids to the next h and c. */
static void step_states(const greedy_pass *pass, ptrdiff_t step, ptrdiff_t begin, ptrdiff_t end) {
    const fs_greedy_decode *call = pass->call;
    const recurrent_run *run = &pass->lstm.runs[0];
    const ptrdiff_t H = call->H;
    for (ptrdiff_t n = begin; n < end; ++n) {
        const int64_t id = step > 0 ? call->ids[n * call->steps + step - 1] : call->start_id;
        float *embedded = pass->inputs + n * pass->X + pass->X - call->D;
        embedding_forward(embedded, call->embedding, &id, 1, call->D, 1);
    }
    load_inputs(run, begin, end);
    run->layer->forward_rows(run, (recurrent_part){begin, end, 0, 1});
    for (ptrdiff_t n = begin; n < end; ++n) {
        memcpy(pass->cells + n * pass->K + pass->K - H, run->c + (run->state_rows + n) * run->Hp,
               (size_t)H * sizeof(float));
    }
}

/* The first of the largest of x; of a NaN, the first NaN. */
static ptrdiff_t index_of_largest(const float *x, ptrdiff_t n) {
    ptrdiff_t largest = 0;
    for (ptrdiff_t i = 1; i < n && !isnan(x[largest]); ++i) {
        if (!(x[i] <= x[largest])) {
            largest = i;
        }
    }
    return largest;
}

/* From h to ids. */
static void step_ids(const greedy_pass *pass, ptrdiff_t step, ptrdiff_t begin, ptrdiff_t end) {
    const fs_greedy_decode *call = pass->call;
    const ptrdiff_t H = call->H, K = pass->K, M = pass->M;
    const fs_attention_size one_step = {.N = 1, .Te = call->Te, .Td = 1, .H = H};
    for (ptrdiff_t n = begin; n < end && call->enc; ++n) {
        float *features = pass->features + n * K;
        attention_forward(features, call->weights + n * call->Te, call->enc + n * call->Te * H,
                          features + H, 1.0f, one_step, 1);
    }
    affine_forward(pass->scores + begin * M, pass->features + begin * K,
                   (fs_matrix){pass->packed_W, M, 1}, pass->packed_b, 0, end - begin, K, M, 1);
    for (ptrdiff_t n = begin; n < end; ++n) {
        call->ids[n * call->steps + step] = index_of_largest(pass->scores + n * M, call->V);
    }
}

/* Rows that take all steps together: what attention reads of them at each stays in the cache. */
#define GREEDY_ROWS 24

static void decode_rows(const greedy_pass *pass, ptrdiff_t begin, ptrdiff_t end) {
    const fs_greedy_decode *call = pass->call;
    const ptrdiff_t H = call->H;
    load_greedy_rows(pass, begin, end);
    for (ptrdiff_t step = 0; step < call->steps; ++step) {
        step_states(pass, step, begin, end);
        step_ids(pass, step, begin, end);
    }
    for (ptrdiff_t n = begin; n < end; ++n) {
        const ptrdiff_t from = n * pass->K + pass->K - H;
        memcpy(call->h + n * H, pass->features + from, (size_t)H * sizeof(float));
        memcpy(call->c + n * H, pass->cells + from, (size_t)H * sizeof(float));
    }
}

static void greedy_task(void *context, ptrdiff_t begin, ptrdiff_t end, int thread) {
    (void)thread;
    for (ptrdiff_t n = begin; n < end; n += GREEDY_ROWS) {
        decode_rows(context, n, smaller(n + GREEDY_ROWS, end));
    }
}

static void greedy_decode(const fs_greedy_decode *call, int threads) {
    greedy_pass pass = plan_greedy(call);
    place_greedy(&pass, call->scratch);
    const ptrdiff_t N = call->N, H = call->H;
    recurrent_run *run = &pass.lstm.runs[0];
    run->xs = pass.inputs;
    run->h0 = run->hs = pass.features + pass.K - H;
    run->c0 = pass.cells + pass.K - H;
    const double products =
        (double)H * (double)(4 * (pass.X + H) + 2 * call->Te) + (double)pass.K * (double)pass.M;
    const double work = 2.0 * (double)(N * call->steps) * products;
    const int team = worthwhile_threads(N, work, threads);
    parallel_for(count_all_panels(run), team, pack_forward_task, &pass.lstm);
    pack_scores(&pass);
    parallel_for(N, team, greedy_task, &pass);
}

/* What the caller must bring. */
static ptrdiff_t greedy_decode_floats(const fs_greedy_decode *call) {
    greedy_pass pass = plan_greedy(call);
    return place_greedy(&pass, NULL);
}

#endif
