# cython: language_level=3, cdivision=True
"""Conversion, checks and memory of arguments, for every function of the boundary.

Every error names the argument, the expected value and the actual one.
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
    MAX_EMPTY_ROWS = 1 << 28

cdef str _describe(np.ndarray x):
    return f"{x.dtype} array of shape {shape_of(x)}"


cdef object _with_name(object error, str name):
    """An error of the same kind whose message begins with the name of the argument."""
    kinds = [kind for kind in (MemoryError, TypeError) if isinstance(error, kind)]
    return (kinds or [ValueError])[0](f"{name}: {error}")


cdef np.ndarray _as_array(object x, str name, int ndim):
    """The argument itself if it is an array; else an array, which may share its memory."""
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
    """ValueError for too many rows of an empty array: they need no memory, but time."""
    cdef double rows = 1
    cdef int i
    for i in range(array.ndim):
        rows *= max(array.shape[i], 1)
    if rows > MAX_EMPTY_ROWS:
        raise ValueError(f"{name}: expected at most {MAX_EMPTY_ROWS} rows of an empty array, "
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
    """A new array object of class ndarray with the same memory."""
    return PyArray_View(array, NULL, <void *> np.ndarray)


cdef np.ndarray _as_type(np.ndarray array, str name, int type_number, int requirements):
    """C-contiguous, aligned and of the given type; the array itself if it already is."""
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
    # uint64 is not cast: values above int64 are then negative for the check, but reported as given
    unsigned = np.PyArray_ISUNSIGNED(array) and np.PyArray_ITEMSIZE(array) == sizeof(int64_t)
    return _as_type(array, name, np.NPY_UINT64 if unsigned else np.NPY_INT64,
                    np.NPY_ARRAY_ENSURECOPY)


cdef np.ndarray as_ids_or_none(object x, str name, int ndim):
    return None if x is None else as_ids(x, name, ndim)


cdef np.ndarray as_output(object x, str name):
    cdef np.ndarray array
    cdef char *first, *end
    if not isinstance(x, np.ndarray):
        raise TypeError(f"{name}: expected an array, got {type(x).__name__}")
    array = _own_view(x)
    if not np.PyArray_ISFLOAT(array):
        raise TypeError(f"{name}: expected a float array, got a {_describe(array)}")
    if not np.PyArray_ISWRITEABLE(array):
        raise ValueError(f"{name}: expected a writeable array, got a read-only one")
    _extent(array, &first, &end)
    if end - first < np.PyArray_NBYTES(array):
        raise ValueError(f"{name}: expected an array without overlapping elements, got "
                         f"one that overlaps itself, of shape {shape_of(array)}")
    return array


cdef np.ndarray as_numbers(object x, str name):
    return _own_view(_as_real_array(x, name, -1))


cdef object as_integer(object x, str name):
    try:
        return index(x)
    except TypeError as error:
        raise TypeError(f"{name}: expected an integer, got {type(x).__name__}") from error


cdef ptrdiff_t as_size(object x, str name, ptrdiff_t minimum) except -1:
    size = as_integer(x, name)
    if not minimum <= size <= INT64_MAX:
        raise ValueError(f"{name}: expected at least {minimum}, got {size}")
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


cdef object wrong_id(np.ndarray x, ptrdiff_t position, str name, ptrdiff_t count):
    index_text = ", ".join(str(int(j)) for j in np.unravel_index(position, shape_of(x)))
    return IndexError(f"{name}[{index_text}]: expected an id from 0 to {count - 1} "
                      f"(vocabulary size {count}), got {x.flat[position]}")


cdef int check_ids(np.ndarray x, str name, ptrdiff_t count) except -1:
    """IndexError unless 0 <= id < count for each id."""
    cdef const int64_t *values = <const int64_t *> np.PyArray_DATA(x)
    cdef ptrdiff_t size = np.PyArray_SIZE(x)
    cdef uint64_t last = count - 1
    cdef uint64_t signs = 0  # its sign bit is set if any id or last - id is negative
    cdef ptrdiff_t i
    for i in range(size):
        signs |= <uint64_t> values[i] | (last - <uint64_t> values[i])
    if size > 0 and <int64_t> signs < 0:
        i = 0
        while 0 <= values[i] < count:
            i += 1
        raise wrong_id(x, i, name, count)
    return 0


cdef int check_lengths(np.ndarray x, str name, ptrdiff_t N, ptrdiff_t minimum,
                       ptrdiff_t maximum) except -1:
    """ValueError unless x is None or has N lengths in [minimum, maximum]."""
    cdef const int64_t *values
    cdef ptrdiff_t n
    if x is None:
        return 0
    if x.shape[0] != N:
        raise wrong_shape(name, f"({N},), one for each row of the batch", x)
    values = <const int64_t *> np.PyArray_DATA(x)
    for n in range(N):
        if values[n] < minimum or values[n] > maximum:
            raise ValueError(f"{name}[{n}]: expected {minimum} to {maximum}, got {values[n]}")
    return 0


cdef int _extent(np.ndarray x, char **first, char **end) noexcept:
    """The range of addresses of the elements of x."""
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
    """Whether the address ranges of a and b overlap."""
    cdef char *first_a, *end_a
    cdef char *first_b, *end_b
    if np.PyArray_SIZE(a) == 0 or np.PyArray_SIZE(b) == 0:
        return False
    _extent(a, &first_a, &end_a)
    _extent(b, &first_b, &end_b)
    return first_a < end_b and first_b < end_a


cdef int check_no_overlap(list outputs, tuple names) except -1:
    """ValueError if two outputs, which may be None, share memory."""
    cdef np.ndarray a, b
    cdef Py_ssize_t i, j
    for i in range(len(outputs)):
        a = outputs[i]
        for j in range(i if a is not None else 0):
            b = outputs[j]
            if b is not None and overlap(a, b) and np.shares_memory(a, b):
                raise ValueError(f"{names[j]}, {names[i]}: expected arrays that do not share "
                                 "memory, as both are outputs")
    return 0


# ---- memory ----
#
# New memory of the system causes a page fault per 4 KB, which takes about as long as a kernel needs
# to fill the page, and the allocator may return large blocks to the system each time. So freed
# blocks are cached, for reuse by a request of about the same size.

cdef enum:
    MAX_CACHED_BLOCKS = 32
    MAX_CACHED_BYTES = 64 << 20  # in all; the oldest are freed first
    MIN_CACHED_BYTES = 64 << 10  # smaller blocks are freed
    MAX_DIMENSIONS = 64  # of a NumPy array

cdef ptrdiff_t MAX_FLOATS = <ptrdiff_t> 1 << 60  # more than any machine has memory for

cdef Block[MAX_CACHED_BLOCKS] cached_blocks  # in the order in which they were freed
cdef int cached_count = 0
cdef size_t cached_bytes = 0


cdef Block _remove_cached(int which) noexcept:
    global cached_count, cached_bytes
    cdef Block block = cached_blocks[which]
    cdef int i
    cached_count -= 1
    cached_bytes -= block.size
    for i in range(which, cached_count):
        cached_blocks[i] = cached_blocks[i + 1]
    return block


cdef Block _acquire_block(size_t size) noexcept:
    """The smallest cached block of `size` to 1.25 `size`, or a new one; its memory may be NULL."""
    cdef Block block
    cdef int best = -1
    cdef int i
    for i in range(cached_count - 1, -1, -1):  # the last ones may still be in the CPU's cache
        if size <= cached_blocks[i].size <= size + size // 4:
            if best < 0 or cached_blocks[i].size < cached_blocks[best].size:
                best = i
    if best >= 0:
        return _remove_cached(best)
    block.size = size
    block.memory = malloc(size)
    while block.memory == NULL and cached_count > 0:  # out of memory: free the cached blocks
        free(_remove_cached(0).memory)
        block.memory = malloc(size)
    return block


cdef int _release_block(Block block) noexcept:
    global cached_count, cached_bytes
    if block.memory == NULL or not MIN_CACHED_BYTES <= block.size <= MAX_CACHED_BYTES:
        free(block.memory)
        return 0
    while cached_count == MAX_CACHED_BLOCKS or cached_bytes + block.size > MAX_CACHED_BYTES:
        free(_remove_cached(0).memory)
    cached_blocks[cached_count] = block
    cached_count += 1
    cached_bytes += block.size
    return 0


cdef class Buffer:
    """Growing memory for floats, aligned to a cache line so that no vector crosses a line."""

    def __dealloc__(self):
        _release_block(self.block)

    cdef float *reserve(self, ptrdiff_t floats) except NULL:
        """Memory for so many floats; the content is lost if it has to grow."""
        cdef size_t wanted = floats
        if not 0 <= floats <= MAX_FLOATS:
            raise MemoryError(f"cannot allocate {floats} floats")
        if self.data == NULL or wanted > self.capacity:
            _release_block(self.block)
            self.block = _acquire_block(wanted * sizeof(float) + 64)
            self.data = NULL
            if self.block.memory == NULL:
                raise MemoryError(f"cannot allocate {4 * floats} bytes")
            self.data = <float *> ((<uintptr_t> self.block.memory + 63) & ~<uintptr_t> 63)
            self.capacity = wanted
        return self.data


cdef np.ndarray new_floats(tuple shape):
    cdef Buffer buffer = Buffer.__new__(Buffer)
    cdef np.npy_intp[MAX_DIMENSIONS] sizes
    cdef int ndim = <int> len(shape)
    cdef double exact = 1
    cdef ptrdiff_t total = 1
    cdef int i
    for i in range(ndim):
        sizes[i] = shape[i]
        total *= sizes[i]  # may overflow; `exact` does not
        exact *= sizes[i]
    if exact > MAX_FLOATS:
        raise MemoryError(f"cannot allocate an array of shape {shape}")
    buffer.reserve(total)
    cdef np.ndarray array = np.PyArray_SimpleNewFromData(ndim, sizes, np.NPY_FLOAT32, buffer.data)
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
