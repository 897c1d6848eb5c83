/* isa/all_kernels.h — every kernel, compiled once per instruction set, and the table of them.
 *
 * The including file defines FS_TABLE and FS_NAME and includes its simd header; for bfloat16 also
 * FS_PRECISION, and FS_TILE if the CPU has instructions for it. */
#include <assert.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "../arena.h"
#include "../fastseq.h"
#include "../gemm.h"
#include "../parallel.h"
#include "../vmath.h"

/* in the order of their dependencies */
#include "../kernels/affine.h"
#include "../kernels/embedding.h"
#include "../kernels/optim.h"
#include "../kernels/softmax.h"

#include "../kernels/attention.h"

#include "../kernels/additive_attention.h"

#include "../kernels/hard_attention/features.h"
#include "../kernels/hard_attention/step.h"

#include "../kernels/hard_attention/chain.h"

#include "../kernels/recurrent/layout.h"
#include "../kernels/recurrent/panels.h"

#include "../kernels/recurrent/few_rows.h"

#include "../kernels/recurrent/inputs.h"
#include "../kernels/recurrent/forward.h"

#include "../kernels/recurrent/backward.h"
#include "../kernels/recurrent/weight_gradients.h"

#include "../kernels/recurrent/cells.h"
#include "../kernels/recurrent/pass.h"

#include "../kernels/decoding/layout.h"

#include "../kernels/decoding/decode.h"

#include "../kernels/decoding/beam.h"

#include "../kernels/decoding/call.h"

const fs_kernels FS_TABLE = {
    .name = FS_NAME,
    .precision = FS_PRECISION,
    .lanes = FS_LANES,
    .exp = exp_array,
    .tanh = tanh_array,
    .sigmoid = sigmoid_array,
    .softmax = softmax,
    .log_softmax = log_softmax,
    .log_mean_exp = log_mean_exp,
    .softmax_loss_forward = softmax_loss_forward,
    .softmax_loss_backward = softmax_loss_backward,
    .embedding_forward = embedding_forward,
    .embedding_backward = embedding_backward,
    .affine_forward = affine_forward,
    .affine_backward = affine_backward,
    .recurrent_cache_floats = recurrent_cache_floats,
    .recurrent_forward_floats = recurrent_forward_floats,
    .recurrent_forward = recurrent_forward,
    .recurrent_backward_floats = recurrent_backward_floats,
    .recurrent_backward = recurrent_backward,
    .decode_floats = decode_floats,
    .decode = decode,
    .attention_forward = attention_forward,
    .attention_weights_forward = attention_weights_forward,
    .weighted_sum_forward = weighted_sum_forward,
    .attention_backward_floats = attention_backward_floats,
    .attention_backward = attention_backward,
    .attention_weights_backward = attention_weights_backward,
    .weighted_sum_backward = weighted_sum_backward,
    .additive_weights_forward = additive_weights_forward,
    .additive_backward_floats = additive_backward_floats,
    .additive_weights_backward = additive_weights_backward,
    .position_features_forward = position_features_forward,
    .position_features_backward = position_features_backward,
    .hard_attention_floats = hard_attention_floats,
    .hard_attention_forward = hard_attention_forward,
    .hard_attention_backward = hard_attention_backward,
    .sgd_step = sgd_step,
    .momentum_step = momentum_step,
    .nesterov_step = nesterov_step,
    .adagrad_step = adagrad_step,
    .rmsprop_step = rmsprop_step,
    .adam_step = adam_step,
    .sum_squares = sum_squares,
    .scale = scale,
};
