# cython: language_level=3, cdivision=True
"""Conversion, checks and memory: what every function of the boundary does with its arguments.

Every error names the argument, what was expected and what came.
"""

from operator import index

import numpy as np

cimport numpy as np
from libc.stdint cimport INT64_MAX, int64_t, uint64_t, uintptr_t
from libc.stdlib cimport free, malloc

np.import_array()

cdef extern from "numpy/arrayobject.h":
    object PyArray_View(np.ndarray array, void *descriptor, void *type)


# ---- conversion ----

cdef enum:
    MOST_EMPTY_ROWS = 1 << 28

cdef str _describe(np.ndarray x):
    return f"{x.dtype} array of shape {shape_of(x)}"


cdef object _with_name(object error, str name):
    """The same error, for the argument `name`."""
    kind = MemoryError if isinstance(error, MemoryError) else (
        TypeError if isinstance(error, TypeError) else ValueError)
    return kind(f"{name}: {error}")


cdef np.ndarray _as_array(object x, str name, int ndim):
    """An array with the argument's own memory, or new; the argument itself where it is one."""
    cdef np.ndarray array
    if np.PyArray_CheckExact(x):
        array = x
    else:
        try:
            array = np.asarray(x)
        except (TypeError, ValueError, MemoryError) as error:
            raise _with_name(error, name) from error
    if ndim >= 0 and array.ndim != ndim and _is_real(array):
        raise ValueError(f"{name}: expected {ndim} dimensions, got shape {shape_of(array)}")
    if np.PyArray_SIZE(array) == 0:
        _check_empty(array, name)
    return array


cdef int _check_empty(np.ndarray array, str name) except -1:
    """Rows of nothing take no memory, but each takes time."""
    cdef double rows = 1
    cdef int i
    for i in range(array.ndim):
        rows *= max(array.shape[i], 1)
    if rows > MOST_EMPTY_ROWS:
        raise ValueError(f"{name}: expected at most {MOST_EMPTY_ROWS} rows of an empty array, "
                         f"got shape {shape_of(array)}")
    return 0


cdef bint _is_real(np.ndarray array) noexcept:
    return np.PyArray_ISFLOAT(array) or np.PyArray_ISINTEGER(array) or np.PyArray_ISBOOL(array)


cdef np.ndarray _as_real_array(object x, str name, int ndim):
    cdef np.ndarray array = _as_array(x, name, ndim)
    if not _is_real(array):
        raise TypeError(f"{name}: expected an array of real numbers, got a {_describe(array)}")
    return array


cdef np.ndarray _own_view(np.ndarray array):
    """Of another object, and of class ndarray itself."""
    return PyArray_View(array, NULL, <void *> np.ndarray)


cdef np.ndarray _as_type(np.ndarray array, str name, int type_number, int requirements):
    """C-contiguous and aligned, of another type; the array itself where it is that already."""
    try:
        return np.PyArray_FROMANY(
            array, type_number, 0, 0,
            requirements | np.NPY_ARRAY_CARRAY_RO | np.NPY_ARRAY_FORCECAST)
    except (TypeError, ValueError, MemoryError) as error:
        raise _with_name(error, name) from error


cdef np.ndarray as_floats(object x, str name, int ndim):
    cdef np.ndarray array = _as_real_array(x, name, ndim)
    return _own_view(_as_type(array, name, np.NPY_FLOAT32, 0))


cdef np.ndarray as_floats_or_none(object x, str name, int ndim):
    return None if x is None else as_floats(x, name, ndim)


cdef np.ndarray as_vector(object x, str name):
    cdef np.ndarray array = row_of(as_floats(x, name, -1))
    if array.ndim != 1:
        raise ValueError(f"{name}: expected 1 dimensions, got shape {shape_of(array)}")
    return array


cdef np.ndarray row_of(np.ndarray x):
    return x[0] if x.ndim == 2 and x.shape[0] == 1 else x


cdef np.ndarray as_matrix(object x, str name):
    cdef np.ndarray array = _as_real_array(x, name, 2)
    cdef int i
    if np.PyArray_TYPE(array) == np.NPY_FLOAT32 and np.PyArray_ISBEHAVED_RO(array):
        for i in range(array.ndim):
            if array.strides[i] % <np.npy_intp> sizeof(float) != 0:
                break
        else:
            return _own_view(array)
    return _own_view(_as_type(array, name, np.NPY_FLOAT32, 0))


cdef np.ndarray as_ids(object x, str name, int ndim):
    cdef np.ndarray array = _as_array(x, name, ndim)
    if not np.PyArray_ISINTEGER(array):
        raise TypeError(f"{name}: expected an array of integers, got a {_describe(array)}")
    # uint64 stays: what is too large for int64 reads as negative, and is said as it came
    unsigned = np.PyArray_ISUNSIGNED(array) and np.PyArray_ITEMSIZE(array) == sizeof(int64_t)
    return _as_type(array, name, np.NPY_UINT64 if unsigned else np.NPY_INT64,
                    np.NPY_ARRAY_ENSURECOPY)


cdef np.ndarray as_ids_or_none(object x, str name, int ndim):
    return None if x is None else as_ids(x, name, ndim)


cdef np.ndarray as_output(object x, str name):
    cdef np.ndarray array
    cdef char *first
    cdef char *end
    if not isinstance(x, np.ndarray):
        raise TypeError(f"{name}: expected an array, got {type(x).__name__}")
    array = _own_view(x)
    if not np.PyArray_ISFLOAT(array):
        raise TypeError(f"{name}: expected a float array, got a {_describe(array)}")
    if not np.PyArray_ISWRITEABLE(array):
        raise ValueError(f"{name}: expected a writeable array, got a read-only one")
    _extent(array, &first, &end)
    if end - first < np.PyArray_NBYTES(array):
        raise ValueError(f"{name}: expected an array whose elements are apart, got one that "
                         f"overlaps itself, of shape {shape_of(array)}")
    return array


cdef np.ndarray as_numbers(object x, str name):
    return _own_view(_as_real_array(x, name, -1))


cdef object as_integer(object x, str name):
    try:
        return index(x)
    except TypeError as error:
        raise TypeError(f"{name}: expected an integer, got {type(x).__name__}") from error


cdef ptrdiff_t as_size(object x, str name, ptrdiff_t least) except -1:
    size = as_integer(x, name)
    if not least <= size <= INT64_MAX:
        raise ValueError(f"{name}: expected at least {least}, got {size}")
    return size


cdef double as_number(object x, str name) except? -1:
    try:
        return x
    except TypeError as error:
        raise TypeError(f"{name}: expected a number, got {type(x).__name__}") from error
    except OverflowError as error:
        raise ValueError(f"{name}: {error}") from error


cdef tuple as_sequence(object x, str name):
    try:
        return tuple(x)
    except TypeError as error:
        raise TypeError(f"{name}: expected a sequence, got {type(x).__name__}") from error


# ---- checks ----


cdef tuple shape_of(np.ndarray x):
    return tuple([x.shape[i] for i in range(x.ndim)])


cdef object wrong_shape(str name, str expected, np.ndarray x):
    return ValueError(f"{name}: expected shape {expected}, got {shape_of(x)}")


cdef int check_shape(np.ndarray x, str name, tuple shape) except -1:
    if shape_of(x) != shape:
        raise wrong_shape(name, str(shape), x)
    return 0


cdef object wrong_id(np.ndarray x, ptrdiff_t place, str name, ptrdiff_t count):
    position = ", ".join(str(int(j)) for j in np.unravel_index(place, shape_of(x)))
    return IndexError(
        f"{name}[{position}]: expected an id from 0 to {count - 1} (vocabulary size {count}), "
        f"got {x.flat[place]}"
    )


cdef int check_ids(np.ndarray x, str name, ptrdiff_t count) except -1:
    """IndexError unless 0 <= id < count for each id."""
    cdef const int64_t *values = <const int64_t *> np.PyArray_DATA(x)
    cdef ptrdiff_t size = np.PyArray_SIZE(x)
    cdef uint64_t last = count - 1
    cdef uint64_t signs = 0  # the sign bit is set once an id or last - id is negative
    cdef ptrdiff_t i
    for i in range(size):
        signs |= <uint64_t> values[i] | (last - <uint64_t> values[i])
    if size == 0 or <int64_t> signs >= 0:
        return 0
    for i in range(size):
        if values[i] < 0 or values[i] >= count:
            raise wrong_id(x, i, name, count)
    return 0


cdef int check_lengths(np.ndarray x, str name, ptrdiff_t N, ptrdiff_t least,
                       ptrdiff_t most) except -1:
    """ValueError unless there is one from `least` to `most` for each of N rows; None is fine."""
    cdef const int64_t *values
    cdef ptrdiff_t n
    if x is None:
        return 0
    if x.shape[0] != N:
        raise wrong_shape(name, f"({N},), one for each row of the batch", x)
    values = <const int64_t *> np.PyArray_DATA(x)
    for n in range(N):
        if values[n] < least or values[n] > most:
            raise ValueError(f"{name}[{n}]: expected {least} to {most}, got {values[n]}")
    return 0


cdef int _extent(np.ndarray x, char **first, char **end) noexcept:
    """The addresses that elements of x may have."""
    cdef int i
    first[0] = end[0] = <char *> np.PyArray_DATA(x)
    for i in range(x.ndim):
        if x.shape[i] == 0:
            return 0
        if x.strides[i] < 0:
            first[0] += (x.shape[i] - 1) * x.strides[i]
        else:
            end[0] += (x.shape[i] - 1) * x.strides[i]
    end[0] += np.PyArray_ITEMSIZE(x)
    return 0


cdef bint overlap(np.ndarray a, np.ndarray b) noexcept:
    """Whether the memory between the first and the last element of each has a byte in common."""
    cdef char *first_a
    cdef char *first_b
    cdef char *end_a
    cdef char *end_b
    if np.PyArray_SIZE(a) == 0 or np.PyArray_SIZE(b) == 0:
        return False
    _extent(a, &first_a, &end_a)
    _extent(b, &first_b, &end_b)
    return first_a < end_b and first_b < end_a


cdef int check_apart(list outputs, tuple names) except -1:
    """ValueError if two arrays that are written share memory; None shares none."""
    cdef np.ndarray a, b
    cdef Py_ssize_t i, j
    for i in range(len(outputs)):
        a = outputs[i]
        for j in range(i if a is not None else 0):
            b = outputs[j]
            if b is not None and overlap(a, b) and np.shares_memory(a, b):
                raise ValueError(
                    f"{names[j]}, {names[i]}: expected arrays that share no memory, as both are "
                    "written"
                )
    return 0


# ---- memory ----
#
# The system's memory comes with a page fault for every 4 KB, about as long as a kernel takes to
# fill them, and the allocator may give it back and fetch it anew for each array. So blocks that are
# no longer in use are kept for the next of about their size.

cdef enum:
    KEPT_BLOCKS = 32
    KEPT_BYTES = 64 << 20     # in all; the oldest go first
    SMALLEST_KEPT = 64 << 10  # smaller ones are left to the allocator
    MOST_DIMENSIONS = 64      # that an array of NumPy has

cdef ptrdiff_t MOST_FLOATS = <ptrdiff_t> 1 << 60  # no machine has memory for more

cdef Block[KEPT_BLOCKS] kept_blocks  # in the order of their return
cdef int kept_count = 0
cdef size_t kept_bytes = 0


cdef Block _remove_kept(int which) noexcept:
    global kept_count, kept_bytes
    cdef Block block = kept_blocks[which]
    cdef int i
    kept_count -= 1
    kept_bytes -= block.size
    for i in range(which, kept_count):
        kept_blocks[i] = kept_blocks[i + 1]
    return block


cdef Block _take_block(size_t size) noexcept:
    """The smallest kept one that is at least as large but not by over a fourth, or a new one; its
    memory is NULL when there is none."""
    cdef Block block
    cdef int best = -1
    cdef int i
    for i in range(kept_count - 1, -1, -1):  # the last ones may still be in the cache
        if size <= kept_blocks[i].size <= size + size // 4:
            if best < 0 or kept_blocks[i].size < kept_blocks[best].size:
                best = i
    if best >= 0:
        return _remove_kept(best)
    block.size = size
    block.memory = malloc(size)
    while block.memory == NULL and kept_count > 0:  # what is kept may be what is missing
        free(_remove_kept(0).memory)
        block.memory = malloc(size)
    return block


cdef int _give_back(Block block) noexcept:
    global kept_count, kept_bytes
    if block.memory == NULL or not SMALLEST_KEPT <= block.size <= KEPT_BYTES:
        free(block.memory)
        return 0
    while kept_count == KEPT_BLOCKS or kept_bytes + block.size > KEPT_BYTES:
        free(_remove_kept(0).memory)
    kept_blocks[kept_count] = block
    kept_count += 1
    kept_bytes += block.size
    return 0


cdef class Buffer:
    """Memory for floats that only grows; it begins a cache line, as each vector in it then lies in
    one line only."""

    def __dealloc__(self):
        _give_back(self.block)

    cdef float *reserve(self, ptrdiff_t floats) except NULL:
        """Room for so many floats; what was there before is lost when it has to grow."""
        cdef size_t wanted = floats
        if not 0 <= floats <= MOST_FLOATS:
            raise MemoryError(f"cannot allocate {floats} floats")
        if self.data == NULL or wanted > self.capacity:
            _give_back(self.block)
            self.block = _take_block(wanted * sizeof(float) + 64)
            self.data = NULL
            if self.block.memory == NULL:
                raise MemoryError(f"cannot allocate {4 * floats} bytes")
            self.data = <float *> ((<uintptr_t> self.block.memory + 63) & ~<uintptr_t> 63)
            self.capacity = wanted
        return self.data


cdef np.ndarray new_floats(tuple shape):
    cdef Buffer buffer = Buffer.__new__(Buffer)
    cdef np.npy_intp[MOST_DIMENSIONS] sizes
    cdef int ndim = <int> len(shape)
    cdef double wanted = 1
    cdef ptrdiff_t total = 1
    cdef int i
    for i in range(ndim):
        sizes[i] = shape[i]
        total *= sizes[i]  # may overflow, which `wanted` shows
        wanted *= sizes[i]
    if wanted > MOST_FLOATS:
        raise MemoryError(f"cannot allocate an array of shape {shape}")
    buffer.reserve(total)
    cdef np.ndarray array = np.PyArray_SimpleNewFromData(
        ndim, sizes, np.NPY_FLOAT32, buffer.data)
    np.set_array_base(array, buffer)
    return array


cdef np.ndarray writable(np.ndarray out, tuple inputs):
    cdef np.ndarray x
    if np.PyArray_TYPE(out) != np.NPY_FLOAT32 or not np.PyArray_ISCARRAY(out):
        return new_floats(shape_of(out))
    for x in inputs:
        if x is not None and overlap(out, x):
            return new_floats(shape_of(out))
    return out


cdef int finish(np.ndarray out, np.ndarray written) except -1:
    if written is not out:
        out[...] = written
    return 0
