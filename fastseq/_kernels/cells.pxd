# The recurrent cells, and converted weights of one.

from fastseq._kernels.contract cimport fs_cell, fs_recurrent_weights


cdef class Cell:
    cdef fs_cell number
    cdef readonly str name
    cdef readonly int gates
    cdef readonly int states
    cdef readonly tuple weights
    cdef int weight_count
    # names of the arrays of one direction and of two, and of their gradients
    cdef tuple names, names_of_two, gradient_names, gradient_names_of_two

cdef Cell as_cell(object name)


cdef class Weights:
    cdef Cell cell
    cdef list arrays  # of all directions, one after the other
    cdef tuple names
    cdef int directions
    cdef fs_recurrent_weights own[2]

    cdef ptrdiff_t hidden_size(self) noexcept
    cdef int check(self, ptrdiff_t inputs, ptrdiff_t H) except -1

# `name` is the name of the argument, `names` those of its arrays, of one direction. None stands for
# the names of the cell, and arrays of one or two directions.
cdef Weights as_weights(Cell cell, object params, str name, tuple names)
