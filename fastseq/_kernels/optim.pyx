# cython: language_level=3, cdivision=True
"""Steps of the optimizers, in place, over lists of parameters; norms and scaling of gradients.

The arrays of a list are updated one after the other: an array that is in a list twice is updated
twice, and arrays that share memory have the same result as in a loop over the list.
"""

import numpy as np

cimport numpy as np
from libc.math cimport sqrt

from fastseq._kernels.arrays cimport (
    as_floats,
    as_number,
    as_numbers,
    as_output,
    as_sequence,
    check_no_overlap,
    check_shape,
    data_of,
    finish,
    overlap,
    shape_of,
)
from fastseq._kernels.contract cimport FS_SUM_RUN, fs_context
from fastseq._kernels.runtime cimport Snapshot, snapshot

np.import_array()


# ---- arguments ----


cdef class Update:
    """The arrays of a step for one parameter: p, up to two states, and the gradient.

    The kernels need contiguous float32 arrays with the same order of elements. `begin` makes such
    arrays, `end` copies them back to the caller's arrays where they are not the same memory.
    """

    cdef np.ndarray g
    cdef list updated  # p and the states
    cdef list plain    # the same as contiguous float32

    cdef int begin(self) except -1:
        cdef np.ndarray x
        cdef np.ndarray g = self.g
        if (<np.ndarray> self.updated[0]).flags.fnc:  # then its transposed view is in C order
            g, self.updated = g.T, [x.T for x in self.updated]
        self.plain = [_as_contiguous(x) for x in self.updated]
        self.g = _as_contiguous(g)
        for x in self.plain:
            if overlap(self.g, x):
                self.g = g.astype(np.float32, order="C")
        return 0

    cdef int end(self) except -1:
        cdef int i
        for i in range(len(self.updated)):
            finish(self.updated[i], self.plain[i])
        self.plain = self.g = None  # frees copies for reuse by the next update
        return 0

    cdef float *p(self) noexcept:
        return data_of(self.plain[0])

    cdef float *state(self, int i) noexcept:
        return data_of(self.plain[1 + i])

    cdef ptrdiff_t size(self) noexcept:
        return np.PyArray_SIZE(self.g)


cdef np.ndarray _as_contiguous(np.ndarray x):
    """x itself if it is float32, C-contiguous and aligned; else a copy that is."""
    if np.PyArray_TYPE(x) == np.NPY_FLOAT32 and np.PyArray_ISCARRAY_RO(x):
        return x
    return x.astype(np.float32, order="C")


cdef list _outputs(object arrays, str name):
    return [as_output(x, f"{name}[{i}]") for i, x in enumerate(as_sequence(arrays, name))]


cdef int _check_like(list arrays, str name, list params) except -1:
    if len(arrays) != len(params):
        raise ValueError(f"{name}: expected {len(params)} arrays, as many as params, "
                         f"got {len(arrays)}")
    for i in range(len(params)):
        check_shape(arrays[i], f"{name}[{i}]", shape_of(params[i]))
    return 0


cdef list _updates(object params, object grads, dict states):
    """Convert and check all arguments before the first step."""
    # convert
    cdef list all_p = _outputs(params, "params")
    cdef tuple given = as_sequence(grads, "grads")
    cdef list all_g = [as_numbers(given[i], f"grads[{i}]") for i in range(len(given))]
    cdef list all_states = [_outputs(arrays, name) for name, arrays in states.items()]
    # check
    cdef tuple names = tuple(states)
    cdef list updates = []
    cdef Update update
    cdef Py_ssize_t i, k
    _check_like(all_g, "grads", all_p)
    for k in range(len(names)):
        _check_like(all_states[k], names[k], all_p)
    for i in range(len(all_p)):
        update = Update.__new__(Update)
        update.g = all_g[i]
        update.updated = [all_p[i]]
        for k in range(len(names)):
            update.updated.append(all_states[k][i])
        check_no_overlap(update.updated, tuple([f"{name}[{i}]" for name in ("params", *names)]))
        updates.append(update)
    return updates


# ---- steps ----


def sgd_step(params, grads, learning_rate):
    cdef float rate = as_number(learning_rate, "learning_rate")
    cdef list updates = _updates(params, grads, {})
    cdef Snapshot now = snapshot()
    cdef Update each
    cdef float *p
    cdef float *g
    cdef ptrdiff_t n
    for each in updates:
        each.begin()
        p, g, n = each.p(), data_of(each.g), each.size()
        with nogil:
            now.kernels.sgd_step(p, g, rate, n, &now.context)
        each.end()


ctypedef void (*one_state_step)(float *p, float *state, const float *g, float rate, float setting,
                                ptrdiff_t n, const fs_context *context) noexcept nogil


cdef int _step_with_state(one_state_step step, fs_context context, list updates, float rate,
                          float setting) except -1:
    cdef Update each
    cdef float *p
    cdef float *state
    cdef float *g
    cdef ptrdiff_t n
    for each in updates:
        each.begin()
        p, state, g, n = each.p(), each.state(0), data_of(each.g), each.size()
        with nogil:
            step(p, state, g, rate, setting, n, &context)
        each.end()
    return 0


def momentum_step(params, grads, velocities, learning_rate, momentum):
    cdef float rate = as_number(learning_rate, "learning_rate")
    cdef float factor = as_number(momentum, "momentum")
    cdef list updates = _updates(params, grads, {"velocities": velocities})
    cdef Snapshot now = snapshot()
    _step_with_state(now.kernels.momentum_step, now.context, updates, rate, factor)


def nesterov_step(params, grads, velocities, learning_rate, momentum):
    cdef float rate = as_number(learning_rate, "learning_rate")
    cdef float factor = as_number(momentum, "momentum")
    cdef list updates = _updates(params, grads, {"velocities": velocities})
    cdef Snapshot now = snapshot()
    _step_with_state(now.kernels.nesterov_step, now.context, updates, rate, factor)


def adagrad_step(params, grads, square_sums, learning_rate, epsilon=1e-7):
    cdef float rate = as_number(learning_rate, "learning_rate")
    cdef float added = as_number(epsilon, "epsilon")
    cdef list updates = _updates(params, grads, {"square_sums": square_sums})
    cdef Snapshot now = snapshot()
    _step_with_state(now.kernels.adagrad_step, now.context, updates, rate, added)


def rmsprop_step(params, grads, square_means, learning_rate, decay_rate, epsilon=1e-7):
    cdef float rate = as_number(learning_rate, "learning_rate")
    cdef double decay = as_number(decay_rate, "decay_rate")
    cdef float gain = 1.0 - decay
    cdef float added = as_number(epsilon, "epsilon")
    cdef list updates = _updates(params, grads, {"square_means": square_means})
    cdef Snapshot now = snapshot()
    cdef Update each
    cdef float *p
    cdef float *h
    cdef float *g
    cdef ptrdiff_t n
    for each in updates:
        each.begin()
        p, h, g, n = each.p(), each.state(0), data_of(each.g), each.size()
        with nogil:
            now.kernels.rmsprop_step(p, h, g, rate, decay, gain, added, n, &now.context)
        each.end()


def adam_step(params, grads, first_moments, second_moments, learning_rate, beta1, beta2,
              epsilon=1e-7):
    cdef float rate = as_number(learning_rate, "learning_rate")
    cdef float gain1 = 1.0 - as_number(beta1, "beta1")
    cdef float gain2 = 1.0 - as_number(beta2, "beta2")
    cdef float added = as_number(epsilon, "epsilon")
    cdef list updates = _updates(
        params, grads, {"first_moments": first_moments, "second_moments": second_moments})
    cdef Snapshot now = snapshot()
    cdef Update each
    cdef float *p
    cdef float *m
    cdef float *v
    cdef float *g
    cdef ptrdiff_t n
    for each in updates:
        each.begin()
        p, m, v, g, n = each.p(), each.state(0), each.state(1), data_of(each.g), each.size()
        with nogil:
            now.kernels.adam_step(p, m, v, g, rate, gain1, gain2, added, n, &now.context)
        each.end()


# ---- norms and scaling ----


def global_norm(grads):
    # convert
    cdef list arrays = [
        as_floats(g, f"grads[{i}]", -1) for i, g in enumerate(as_sequence(grads, "grads"))]
    # snapshot
    cdef Snapshot now = snapshot()
    # call
    cdef np.ndarray x, sums
    cdef double *all_sums
    cdef ptrdiff_t n
    cdef double total = 0
    for x in arrays:
        n = np.PyArray_SIZE(x)
        sums = np.empty((n + FS_SUM_RUN - 1) // FS_SUM_RUN, np.float64)
        all_sums = <double *> np.PyArray_DATA(sums)
        with nogil:
            now.kernels.sum_squares(all_sums, data_of(x), n, &now.context)
        total += sums.sum()
    return sqrt(total)


def scale(arrays, factor):
    # convert
    cdef float by = as_number(factor, "factor")
    cdef list outputs = _outputs(arrays, "arrays")
    # snapshot
    cdef Snapshot now = snapshot()
    # call
    cdef np.ndarray x, plain
    cdef ptrdiff_t n
    for x in outputs:
        plain = _as_contiguous(x)
        n = np.PyArray_SIZE(x)
        with nogil:
            now.kernels.scale(data_of(plain), by, n, &now.context)
        finish(x, plain)
