/* kernels/recurrent/pass.h — a call of a recurrent layer: packing, the passes over the sequence,
 * the gradients, and how each is split over threads.
 *
 * Batch rows are independent: each thread computes some of the rows, of both directions, over the
 * whole sequence without a barrier. With more threads than rows, a team splits the panels of each
 * step instead. Weight gradients are split by panels; each is summed over packed rows in ascending
 * order. */
#ifndef FS_RECURRENT_H
#define FS_RECURRENT_H

/* The minimum of operations per step and thread in a team, which has a barrier after each step: a
 * few us, with weights in cache. */
#define MIN_OPERATIONS_PER_STEP 1.0e5

/* Whether the pass of a part ends before step t, as the caller requests. A rank of a team may be
 * ahead of rank 0 by less than a step, because each step has a barrier: they end with the next one,
 * all at the same. */
static int ends_before_step(const recurrent_run *run, recurrent_part part, ptrdiff_t t) {
    const ptrdiff_t end_step = part.team.ranks > 1 ? t + 1 : 0;
    return ends_at_step(run->interrupt, part.rank, t, end_step);
}

/* The forward pass of a part, over all its steps. */
static void forward_rows(const recurrent_run *run, recurrent_part part) {
    for (ptrdiff_t t = 0; t < run->size.T && !ends_before_step(run, part, t); ++t) {
        project_inputs(run, part, t);
        run->kernel->forward_step(run, part, t);
        store_outputs(run, part, t);
    }
}

/* The backward pass of batch rows [begin, end), over all their steps. */
static void backward_rows(const recurrent_run *run, ptrdiff_t begin, ptrdiff_t end, int rank) {
    load_states(run->dh, run->dh_last, run, begin, end);
    if (run->has_cell) {
        load_states(run->dc, run->dc_last, run, begin, end);
    }
    for (ptrdiff_t t = run->size.T - 1; t >= 0 && !is_interrupted(run->interrupt, rank); --t) {
        const ptrdiff_t last = min_size(end, count_rows(run, t));
        load_output_gradients(run, t, begin, last);
        run->kernel->backward_step(run, t, begin, last);
        project_inputs_backward(run, t, begin, end);
    }
    context_backward(run, begin, end);
}

typedef struct {
    recurrent_run runs[FS_DIRECTIONS];
    int directions;
    double operations;            /* of the pass */
    int is_loaded;                /* whether the inputs are in the cache */
    ptrdiff_t first_row, end_row; /* packed rows that weights_task adds to the gradients */
    float *dxs, *dE, *dcontext;
} recurrent_pass;

/* Restricts [begin, end), items of all directions with `each` in one, to those of direction k. */
static void items_of_direction(int k, ptrdiff_t each, ptrdiff_t *begin, ptrdiff_t *end) {
    *begin = min_size(max_size(*begin - k * each, 0), each);
    *end = min_size(max_size(*end - k * each, 0), each);
}

static void pack_forward_task(void *argument, ptrdiff_t begin, ptrdiff_t end, int rank) {
    const recurrent_pass *pass = argument;
    (void)rank;
    for (int k = 0; k < pass->directions; ++k) {
        ptrdiff_t first = begin, last = end;
        items_of_direction(k, count_all_panels(&pass->runs[k]), &first, &last);
        pack_forward(&pass->runs[k], first, last);
    }
}

static void pack_backward_task(void *argument, ptrdiff_t begin, ptrdiff_t end, int rank) {
    const recurrent_pass *pass = argument;
    const ptrdiff_t panels = count_transposed(pass->runs);
    (void)rank;
    for (ptrdiff_t item = begin; item < end; ++item) {
        pack_backward(&pass->runs[item / panels], item % panels);
    }
}

/* The items that threads split: the steps of all rows, since rows differ in length, and one more
 * for each row, so that a row without steps is processed too. */
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

static void process_rows(const recurrent_pass *pass, int backward, ptrdiff_t first_item,
                         ptrdiff_t end_item, int rank) {
    for (int k = 0; k < pass->directions; ++k) {
        const recurrent_run *run = &pass->runs[k];
        ptrdiff_t begin = first_item, end = end_item;
        items_of_direction(k, count_row_items(run), &begin, &end);
        begin = row_of_item(run, begin);
        end = row_of_item(run, end);
        if (begin < end) {
            if (backward) {
                backward_rows(run, begin, end, rank);
                continue;
            }
            if (!pass->is_loaded) {
                load_inputs(run, begin, end);
            }
            forward_rows(run, (recurrent_part){begin, end, team_of_one, rank});
        }
    }
}

static void forward_task(void *argument, ptrdiff_t begin, ptrdiff_t end, int rank) {
    process_rows(argument, 0, begin, end, rank);
}

/* The same for fewer rows than ranks: the ranks split the panels of each step. */
static void team_forward_task(void *argument, parallel_team team) {
    const recurrent_pass *pass = argument;
    for (int k = 0; k < pass->directions; ++k) {
        const recurrent_run *run = &pass->runs[k];
        forward_rows(run, (recurrent_part){0, run->size.N, team, team.rank});
    }
}

static void backward_task(void *argument, ptrdiff_t begin, ptrdiff_t end, int rank) {
    process_rows(argument, 1, begin, end, rank);
}

static void pack_inputs_task(void *argument, ptrdiff_t begin, ptrdiff_t end, int rank) {
    const recurrent_pass *pass = argument;
    (void)rank;
    for (ptrdiff_t item = begin; item < end; ++item) {
        const recurrent_run *run = &pass->runs[item % pass->directions];
        const ptrdiff_t row = pass->first_row + item / pass->directions * DEPTH_BLOCK;
        pack_inputs(run, block_of_rows(run, row), pass->first_row);
    }
}

static void weights_task(void *argument, ptrdiff_t first_item, ptrdiff_t end_item, int rank) {
    const recurrent_pass *pass = argument;
    (void)rank;
    for (int k = 0; k < pass->directions; ++k) {
        const recurrent_run *run = &pass->runs[k];
        ptrdiff_t begin = first_item, end = end_item;
        items_of_direction(k, count_all_panels(run), &begin, &end);
        if (begin < end) {
            weight_gradients(run, begin, end, pass->first_row, pass->end_row);
            if (pass->end_row == run->rows) {
                common_weight_gradients(run, begin, end);
            }
        }
    }
}

static void input_gradients_task(void *argument, ptrdiff_t begin, ptrdiff_t end, int rank) {
    const recurrent_pass *pass = argument;
    (void)rank;
    for (int k = 0; k < pass->directions; ++k) {
        store_input_gradients(&pass->runs[k], pass->dxs, pass->dcontext, begin, end);
    }
}

static void embedding_task(void *argument, ptrdiff_t begin, ptrdiff_t end, int rank) {
    const recurrent_pass *pass = argument;
    (void)rank;
    for (int k = 0; k < pass->directions; ++k) {
        const recurrent_run *run = &pass->runs[k];
        if (run->gathers) {
            gathered_gradient(run, pass->dE, k > 0, begin, end);
        } else {
            table_gradient(run, pass->dE, k > 0, begin, end);
        }
    }
}

/* The number of threads of a team, given the cost of a barrier after each step. */
static int team_size(const recurrent_pass *pass, const fs_context *context) {
    const recurrent_run *run = pass->runs;
    const double operations =
        2.0 * (double)run->size.N * run->gates * (double)run->size.H * (double)run->size.H;
    const int worthwhile = parallel_ranks(context, count_all_panels(run), pass->operations);
    const double affordable = operations / MIN_OPERATIONS_PER_STEP;
    return affordable < worthwhile ? (int)affordable : worthwhile;
}

static recurrent_pass plan_pass(const fs_recurrent_size *size, const fs_recurrent_weights *weights,
                                const float *cache, const fs_context *context) {
    recurrent_pass pass = {.directions = size->directions};
    for (int k = 0; k < size->directions; ++k) {
        recurrent_run *run = &pass.runs[k];
        *run = plan_recurrent(size);
        run->from_end = k > 0;
        set_weights(run, &weights[k]);
        cache += place_cache(run, (float *)cache); /* backward only reads it */
    }
    const recurrent_run *run = pass.runs;
    /* multiply-adds of the two products are two operations each */
    pass.operations = 2.0 * (double)(pass.directions * run->rows) * run->gates *
                      (double)run->size.H * (double)(run->size.D + run->size.H);
    for (int k = 0; k < pass.directions; ++k) {
        pass.runs[k].interrupt = interrupt_of(context, pass.operations);
    }
    return pass;
}

/* The size of the cache of all directions. */
static ptrdiff_t cache_floats(const fs_recurrent_size *size) {
    recurrent_run run = plan_recurrent(size);
    return size->directions * place_cache(&run, NULL);
}

static void recurrent_forward(const fs_recurrent_forward *call, const fs_context *context) {
    const int inference = call->size.inference;
    recurrent_pass pass =
        plan_pass(&call->size, call->weights, inference ? call->scratch : call->cache, context);
    float *scratch = call->scratch + (inference ? cache_floats(&call->size) : 0);
    for (int k = 0; k < pass.directions; ++k) {
        recurrent_run *run = &pass.runs[k];
        const ptrdiff_t column = k * call->size.H;
        scratch += place_forward(run, scratch);
        run->hs = call->hs + column;
        run->xs = call->xs;
        run->caller_ids = call->ids;
        run->h0 = call->h0 ? call->h0 + column : NULL;
        run->c0 = call->c0 ? call->c0 + column : NULL;
        run->E = call->E;
        load_common_inputs(run, call->context);
    }
    const int team = team_size(&pass, context);
    const int in_team = team > pass.directions * call->size.N;
    pass.is_loaded = in_team || pass.runs->few_reads;
    for (int k = 0; pass.is_loaded && k < pass.directions; ++k) {
        load_inputs(&pass.runs[k], 0, call->size.N);
    }
    parallel_for(context, pass.directions * count_all_panels(pass.runs), pass.operations,
                 pack_forward_task, &pass);
    if (in_team) {
        run_team(context, team, team_forward_task, &pass);
    } else {
        parallel_for(context, pass.directions * count_row_items(pass.runs), pass.operations,
                     forward_task, &pass);
    }
    for (int k = 0; k < pass.directions; ++k) {
        const recurrent_run *run = &pass.runs[k];
        const ptrdiff_t last = run->state_rows * run->Hp;
        store_states(call->h + k * call->size.H, run->h + last, run);
        if (run->has_cell) {
            store_states(call->c + k * call->size.H, run->c + last, run);
        }
    }
}

/* The gradients of the weights: of as many rows at a time as can be packed. */
static void weight_pass(recurrent_pass *pass, const fs_context *context) {
    const recurrent_run *run = pass->runs;
    const ptrdiff_t panels = pass->directions * count_all_panels(run);
    do { /* once even for no rows */
        pass->end_row = min_size(pass->first_row + run->left_rows, run->rows);
        const double share =
            (double)(pass->end_row - pass->first_row) / (double)max_size(run->rows, 1);
        const ptrdiff_t blocks = (pass->end_row - pass->first_row + DEPTH_BLOCK - 1) / DEPTH_BLOCK;
        parallel_for(context, pass->directions * blocks, share * pass->operations, pack_inputs_task,
                     pass);
        interruptible_for(context, panels, share * pass->operations, weights_task, pass);
        pass->first_row = pass->end_row;
    } while (pass->first_row < run->rows && !is_interrupted(run->interrupt, 0));
}

static void recurrent_backward(const fs_recurrent_backward *call, const fs_context *context) {
    assert(!call->size.inference);
    recurrent_pass pass = plan_pass(&call->size, call->weights, call->cache, context);
    float *scratch = call->scratch;
    for (int k = 0; k < pass.directions; ++k) {
        recurrent_run *run = &pass.runs[k];
        const ptrdiff_t column = k * call->size.H;
        scratch += place_backward(run, scratch);
        float *const *gradients = call->gradients[k].array;
        run->dWc = gradients[FS_WX];
        run->dWx = run->dWc + call->size.C * run->gates * call->size.H;
        run->dWh = gradients[FS_WH];
        run->db = gradients[FS_B];
        run->dbh = gradients[FS_BH];
        run->dhs = call->dhs + column;
        run->dh_last = call->dh ? call->dh + column : NULL;
        run->dc_last = call->dc ? call->dc + column : NULL;
    }
    pass.dxs = call->dxs;
    pass.dE = call->dE;
    pass.dcontext = call->dcontext;
    parallel_for(context, pass.directions * count_transposed(pass.runs), pass.operations,
                 pack_backward_task, &pass);
    parallel_for(context, pass.directions * count_row_items(pass.runs), pass.operations,
                 backward_task, &pass);
    const int to_store = call->size.V == 0 || call->size.C > 0;
    parallel_for(context, to_store ? call->size.N : 0, pass.operations, input_gradients_task,
                 &pass);
    weight_pass(&pass, context);
    parallel_for(context, call->size.V, pass.operations, embedding_task, &pass);
    for (int k = 0; k < pass.directions; ++k) {
        const recurrent_run *run = &pass.runs[k];
        store_states(call->dh0 + k * call->size.H, run->dh, run);
        if (run->has_cell) {
            store_states(call->dc0 + k * call->size.H, run->dc, run);
        }
    }
}

/* The sizes of memory for all directions. */
static ptrdiff_t recurrent_cache_floats(const fs_recurrent_size *size) {
    return size->inference ? 0 : cache_floats(size);
}

static ptrdiff_t recurrent_forward_floats(const fs_recurrent_size *size,
                                          const fs_context *context) {
    (void)context; /* there is no per-thread memory */
    recurrent_run run = plan_recurrent(size);
    const ptrdiff_t inference_cache = size->inference ? cache_floats(size) : 0;
    return inference_cache + size->directions * place_forward(&run, NULL);
}

static ptrdiff_t recurrent_backward_floats(const fs_recurrent_size *size,
                                           const fs_context *context) {
    (void)context;
    recurrent_run run = plan_recurrent(size);
    return size->directions * place_backward(&run, NULL);
}

#endif
