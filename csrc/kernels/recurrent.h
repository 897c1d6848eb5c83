/* kernels/recurrent.h — a call of a recurrent layer: packing, rows through the sequence, gradients.
 *
 * Batch rows are independent in time: each thread takes its rows through the whole sequence without
 * waiting for another; a second direction is so many rows more. Weight gradients are split by
 * panels, each summed over rows in order. */
#ifndef FS_RECURRENT_H
#define FS_RECURRENT_H

/* Threads that meet after each step pay only if each gets so many operations of it (a few us, when
 * its weights are read from the cache). */
#define FS_WORK_PER_STEP 1.0e5

typedef struct {
    recurrent_run runs[FS_DIRECTIONS];
    int directions;
    float *dxs, *dE, *dcontext;
} recurrent_pass;

/* Of items [begin, end) of all directions, `each` in one, those of direction k. */
static void items_of_direction(int k, ptrdiff_t each, ptrdiff_t *begin, ptrdiff_t *end) {
    *begin = smaller(larger(*begin - k * each, 0), each);
    *end = smaller(larger(*end - k * each, 0), each);
}

static void pack_forward_task(void *context, ptrdiff_t begin, ptrdiff_t end, int thread) {
    const recurrent_pass *pass = context;
    (void)thread;
    for (int k = 0; k < pass->directions; ++k) {
        ptrdiff_t first = begin, last = end;
        items_of_direction(k, count_all_panels(&pass->runs[k]), &first, &last);
        pack_forward(&pass->runs[k], first, last);
    }
}

static void pack_backward_task(void *context, ptrdiff_t begin, ptrdiff_t end, int thread) {
    const recurrent_pass *pass = context;
    const ptrdiff_t panels = count_transposed(pass->runs);
    (void)thread;
    for (ptrdiff_t item = begin; item < end; ++item) {
        pack_backward(&pass->runs[item / panels], item % panels);
    }
}

/* Threads share out steps rather than rows, whose lengths differ; one more for each row, so that
 * one without a step is taken too. */
static ptrdiff_t count_row_items(const recurrent_run *run) {
    return run->rows + run->size.N;
}

/* The first row whose items begin at `item` or later. */
static ptrdiff_t row_of_item(const recurrent_run *run, ptrdiff_t item) {
    ptrdiff_t n = 0;
    for (ptrdiff_t first = 0; first < item; ++n) {
        first += count_steps(run, n) + 1;
    }
    return n;
}

static void take_rows(const recurrent_pass *pass, int backward, ptrdiff_t first_item,
                      ptrdiff_t end_item) {
    for (int k = 0; k < pass->directions; ++k) {
        const recurrent_run *run = &pass->runs[k];
        ptrdiff_t begin = first_item, end = end_item;
        items_of_direction(k, count_row_items(run), &begin, &end);
        begin = row_of_item(run, begin);
        end = row_of_item(run, end);
        if (begin < end) {
            if (backward) {
                run->layer->backward_rows(run, begin, end);
            } else {
                load_inputs(run, begin, end);
                run->layer->forward_rows(run, (recurrent_part){begin, end, 0, 1});
            }
        }
    }
}

static void forward_task(void *context, ptrdiff_t begin, ptrdiff_t end, int thread) {
    const recurrent_pass *pass = context;
    (void)thread;
    take_rows(pass, 0, begin, end);
}

/* The same for fewer rows than threads, which share the panels of each step. */
static void shared_forward_task(void *context, int share, int shares) {
    const recurrent_pass *pass = context;
    for (int k = 0; k < pass->directions; ++k) {
        const recurrent_run *run = &pass->runs[k];
        run->layer->forward_rows(run, (recurrent_part){0, run->size.N, share, shares});
    }
}

static void backward_task(void *context, ptrdiff_t begin, ptrdiff_t end, int thread) {
    const recurrent_pass *pass = context;
    (void)thread;
    take_rows(pass, 1, begin, end);
}

static void weights_task(void *context, ptrdiff_t first_item, ptrdiff_t end_item, int thread) {
    const recurrent_pass *pass = context;
    (void)thread;
    for (int k = 0; k < pass->directions; ++k) {
        ptrdiff_t begin = first_item, end = end_item;
        items_of_direction(k, count_all_panels(&pass->runs[k]), &begin, &end);
        if (begin < end) {
            weight_gradients(&pass->runs[k], begin, end);
        }
    }
}

static void input_gradients_task(void *context, ptrdiff_t begin, ptrdiff_t end, int thread) {
    const recurrent_pass *pass = context;
    (void)thread;
    for (int k = 0; k < pass->directions; ++k) {
        store_input_gradients(&pass->runs[k], pass->dxs, pass->dcontext, begin, end);
    }
}

static void embedding_task(void *context, ptrdiff_t begin, ptrdiff_t end, int thread) {
    const recurrent_pass *pass = context;
    (void)thread;
    for (int k = 0; k < pass->directions; ++k) {
        embedding_gradient(&pass->runs[k], pass->dE, k > 0, begin, end);
    }
}

/* How many of `threads` are worth it: multiply-adds of the two products are two operations each. */
static int recurrent_threads(const recurrent_pass *pass, ptrdiff_t items, int threads) {
    const recurrent_run *run = pass->runs;
    const double work = 2.0 * (double)(pass->directions * run->rows) * run->gates *
                        (double)run->size.H * (double)(run->size.D + run->size.H);
    return worthwhile_threads(items, work, threads);
}

/* How many of `threads` are worth sharing each step, after which they wait for each other. */
static int step_threads(const recurrent_pass *pass, int threads) {
    const recurrent_run *run = pass->runs;
    const double work =
        2.0 * (double)run->size.N * run->gates * (double)run->size.H * (double)run->size.H;
    const int worthwhile = recurrent_threads(pass, count_all_panels(run), threads);
    const int affordable = (int)(work / FS_WORK_PER_STEP);
    return affordable < worthwhile ? affordable : worthwhile;
}

static recurrent_pass plan_pass(const fs_recurrent_size *size, const fs_recurrent_weights *weights,
                                const float *cache) {
    recurrent_pass pass = {.directions = size->directions};
    for (int k = 0; k < size->directions; ++k) {
        recurrent_run *run = &pass.runs[k];
        *run = plan_recurrent(size);
        run->from_end = k > 0;
        run->Wc = weights[k].Wx;
        run->Wx = run->Wc;
        run->Wx.data += size->C * run->Wx.row;
        run->Wh = weights[k].Wh;
        run->b = weights[k].b;
        cache += place_cache(run, (float *)cache); /* backward only reads it */
    }
    return pass;
}

/* Of all directions. */
static ptrdiff_t cache_floats(const fs_recurrent_size *size) {
    recurrent_run run = plan_recurrent(size);
    return size->directions * place_cache(&run, NULL);
}

static void recurrent_forward(const fs_recurrent_forward *call, int threads) {
    const int inference = call->size.inference;
    recurrent_pass pass =
        plan_pass(&call->size, call->weights, inference ? call->scratch : call->cache);
    float *scratch = call->scratch + (inference ? cache_floats(&call->size) : 0);
    for (int k = 0; k < pass.directions; ++k) {
        recurrent_run *run = &pass.runs[k];
        const ptrdiff_t column = k * call->size.H;
        scratch += place_forward(run, scratch);
        run->hs = call->hs + column;
        run->xs = call->xs;
        run->callers_ids = call->ids;
        run->h0 = call->h0 ? call->h0 + column : NULL;
        run->c0 = call->c0 ? call->c0 + column : NULL;
        load_shared_inputs(run, call->E, call->context);
    }
    const ptrdiff_t panels = pass.directions * count_all_panels(pass.runs);
    parallel_for(panels, recurrent_threads(&pass, panels, threads), pack_forward_task, &pass);
    const int team = recurrent_threads(&pass, pass.directions * call->size.N, threads);
    const int sharing = step_threads(&pass, threads);
    if (sharing > pass.directions * call->size.N) {
        for (int k = 0; k < pass.directions; ++k) {
            load_inputs(&pass.runs[k], 0, call->size.N);
        }
        parallel_shares(sharing, shared_forward_task, &pass);
    } else {
        parallel_for(pass.directions * count_row_items(pass.runs), team, forward_task, &pass);
    }
    for (int k = 0; k < pass.directions; ++k) {
        const recurrent_run *run = &pass.runs[k];
        const ptrdiff_t last = run->state_rows * run->Hp;
        store_states(call->h + k * call->size.H, run->h + last, run);
        if (run->layer->has_cell) {
            store_states(call->c + k * call->size.H, run->c + last, run);
        }
    }
}

static void recurrent_backward(const fs_recurrent_backward *call, int threads) {
    assert(!call->size.inference);
    recurrent_pass pass = plan_pass(&call->size, call->weights, call->cache);
    float *scratch = call->scratch;
    for (int k = 0; k < pass.directions; ++k) {
        recurrent_run *run = &pass.runs[k];
        const ptrdiff_t column = k * call->size.H;
        scratch += place_backward(run, scratch);
        run->dWc = call->gradients[k].dWx;
        run->dWx = run->dWc + call->size.C * run->gates * call->size.H;
        run->dWh = call->gradients[k].dWh;
        run->db = call->gradients[k].db;
        run->dhs = call->dhs + column;
        run->dh_last = call->dh ? call->dh + column : NULL;
        run->dc_last = call->dc ? call->dc + column : NULL;
    }
    pass.dxs = call->dxs;
    pass.dE = call->dE;
    pass.dcontext = call->dcontext;
    const ptrdiff_t transposed = pass.directions * count_transposed(pass.runs);
    parallel_for(transposed, recurrent_threads(&pass, transposed, threads), pack_backward_task,
                 &pass);
    const int team = recurrent_threads(&pass, pass.directions * call->size.N, threads);
    parallel_for(pass.directions * count_row_items(pass.runs), team, backward_task, &pass);
    const int to_store = call->size.V == 0 || call->size.C > 0;
    parallel_for(to_store ? call->size.N : 0, team, input_gradients_task, &pass);
    const ptrdiff_t panels = pass.directions * count_all_panels(pass.runs);
    parallel_for(panels, recurrent_threads(&pass, panels, threads), weights_task, &pass);
    parallel_for(call->size.V, team, embedding_task, &pass);
    for (int k = 0; k < pass.directions; ++k) {
        const recurrent_run *run = &pass.runs[k];
        store_states(call->dh0 + k * call->size.H, run->dh, run);
        if (run->layer->has_cell) {
            store_states(call->dc0 + k * call->size.H, run->dc, run);
        }
    }
}

/* What the caller must bring, for all directions. */
static ptrdiff_t recurrent_cache_floats(const fs_recurrent_size *size) {
    return size->inference ? 0 : cache_floats(size);
}

static ptrdiff_t recurrent_forward_floats(const fs_recurrent_size *size) {
    recurrent_run run = plan_recurrent(size);
    const ptrdiff_t unkept = size->inference ? cache_floats(size) : 0;
    return unkept + size->directions * place_forward(&run, NULL);
}

static ptrdiff_t recurrent_backward_floats(const fs_recurrent_size *size) {
    recurrent_run run = plan_recurrent(size);
    return size->directions * place_backward(&run, NULL);
}

#endif
