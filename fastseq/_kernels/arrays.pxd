# Conversion, checks and memory, for every function of the boundary.
#
# A conversion returns a new array object: a copy, or a view of the argument's memory. No other code
# has a reference to it, so its shape and strides cannot change afterwards. Ids and lengths, from
# whose values addresses are computed, are always copied.

cimport numpy as np
from libc.stdint cimport int64_t

from fastseq._kernels.contract cimport fs_matrix


# ---- conversion: the only step that may run code of the caller ----

# C-contiguous float32 of `ndim` dimensions, -1 for any.
cdef np.ndarray as_floats(object x, str name, int ndim)
cdef np.ndarray as_floats_or_none(object x, str name, int ndim)
# The same of one dimension; an array of one row, (1, n), is read as that row.
cdef np.ndarray as_vector(object x, str name)
# float32, with strides that are multiples of 4 bytes: weights are read without a copy.
cdef np.ndarray as_matrix(object x, str name)
# A C-contiguous copy, int64.
cdef np.ndarray as_ids(object x, str name, int ndim)
cdef np.ndarray as_ids_or_none(object x, str name, int ndim)
# A view of a writeable float array, for an output.
cdef np.ndarray as_output(object x, str name)
# Of an array of one row, that row; of any other, the array.
cdef np.ndarray row_of(np.ndarray x)
# A view of an array of real numbers, of any dtype and layout.
cdef np.ndarray as_numbers(object x, str name)
cdef object as_integer(object x, str name)
cdef ptrdiff_t as_size(object x, str name, ptrdiff_t minimum) except -1
cdef double as_number(object x, str name) except? -1
cdef tuple as_sequence(object x, str name)


# ---- checks ----

cdef object wrong_shape(str name, str expected, np.ndarray x)
cdef tuple shape_of(np.ndarray x)
cdef int check_shape(np.ndarray x, str name, tuple shape) except -1
cdef object wrong_id(np.ndarray x, ptrdiff_t position, str name, ptrdiff_t count)
cdef int check_ids(np.ndarray x, str name, ptrdiff_t count) except -1
cdef int check_lengths(np.ndarray x, str name, ptrdiff_t N, ptrdiff_t minimum,
                       ptrdiff_t maximum) except -1
cdef int check_no_overlap(list outputs, tuple names) except -1
cdef bint overlap(np.ndarray a, np.ndarray b) noexcept


# ---- memory ----

cdef struct Block:
    void *memory
    size_t size


cdef class Buffer:
    cdef Block block
    cdef float *data
    cdef size_t capacity

    cdef float *reserve(self, ptrdiff_t floats) except NULL


# A float32 array, aligned to a cache line. Its memory is cached for later arrays when it is freed.
cdef np.ndarray new_floats(tuple shape)
# The array that a kernel writes to: `out` itself, or a new array if `out` is not contiguous float32
# or overlaps one of the inputs (which may be None). `finish` copies a new array to `out`.
cdef np.ndarray writable(np.ndarray out, tuple inputs)
cdef int finish(np.ndarray out, np.ndarray written) except -1


cdef inline float *data_of(np.ndarray x) noexcept nogil:
    return <float *> np.PyArray_DATA(x)


cdef inline float *data_or_null(np.ndarray x) noexcept:
    return NULL if x is None else <float *> np.PyArray_DATA(x)


cdef inline const int64_t *ids_of(np.ndarray x) noexcept nogil:
    return <const int64_t *> np.PyArray_DATA(x)


cdef inline const ptrdiff_t *lengths_or_null(np.ndarray x) noexcept:
    return NULL if x is None else <const ptrdiff_t *> np.PyArray_DATA(x)


cdef inline fs_matrix matrix_of(np.ndarray x) noexcept:
    cdef fs_matrix matrix
    matrix.data = <const float *> np.PyArray_DATA(x)
    matrix.row = x.strides[0] // <ptrdiff_t> sizeof(float) if x.ndim > 1 else 0
    matrix.column = x.strides[x.ndim - 1] // <ptrdiff_t> sizeof(float)
    return matrix


cdef inline ptrdiff_t rows_of(np.ndarray x) noexcept:
    """The product of all axes of x except the last."""
    cdef ptrdiff_t rows = 1
    cdef int i
    for i in range(x.ndim - 1):
        rows *= x.shape[i]
    return rows
