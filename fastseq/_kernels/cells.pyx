# cython: language_level=3, cdivision=True
"""The recurrent cells, as declared in `csrc/fastseq.h`, and their weights."""

from types import MappingProxyType

cimport numpy as np
from libc.string cimport memset

from fastseq._kernels.arrays cimport as_matrix, as_sequence, as_vector, matrix_of, wrong_shape
from fastseq._kernels.contract cimport (
    FS_CELLS,
    FS_ROW_PER_INPUT,
    FS_ROW_PER_STATE,
    FS_VECTOR,
    fs_cell,
    fs_cells,
    fs_weight,
    fs_weight_info,
    fs_weights,
)

np.import_array()


# ---- cells ----


cdef str _name(const char *characters):
    return (<bytes> characters).decode("ascii")


cdef class Cell:
    """The properties of a recurrent cell, as declared in `csrc/fastseq.h`."""

    def __init__(self):
        raise TypeError("Cell: expected an item of CELLS; no other cells can be created")

    def shapes(self, D, H):
        """The shape of each weight array of a direction that reads D columns and has H units."""
        shapes = []
        for i in range(fs_cells[self.number].weight_count):
            info = fs_weights[fs_cells[self.number].weights[i]]
            columns = self.gates * H if info.every_gate else H
            if info.rows == FS_VECTOR:
                shapes.append((columns,))
            else:
                shapes.append((D if info.rows == FS_ROW_PER_INPUT else H, columns))
        return tuple(shapes)

    def __reduce__(self):
        return CELLS.__getitem__, (self.name,)

    def __repr__(self):
        return f"CELLS[{self.name!r}]"


cdef Cell _describe_cell(fs_cell number):
    cdef Cell cell = Cell.__new__(Cell)
    cell.number = number
    cell.name = _name(fs_cells[number].name)
    cell.gates = fs_cells[number].gates
    cell.states = fs_cells[number].states
    cell.weights = tuple([
        _name(fs_weights[fs_cells[number].weights[i]].name)
        for i in range(fs_cells[number].weight_count)
    ])
    cell.weight_count = len(cell.weights)
    cell.names = cell.weights
    cell.names_of_two = tuple([f"{name}{k}" for k in (1, 2) for name in cell.weights])
    cell.gradient_names = tuple(["d" + name for name in cell.names])
    cell.gradient_names_of_two = tuple(["d" + name for name in cell.names_of_two])
    return cell


cdef dict _cells = {
    cell.name: cell for cell in [_describe_cell(<fs_cell> i) for i in range(FS_CELLS)]
}
CELLS = MappingProxyType(_cells)


cdef Cell as_cell(object name):
    if type(name) is not str or name not in _cells:
        got = repr(name) if isinstance(name, str) else type(name).__name__
        raise ValueError(f"cell: expected one of {', '.join(_cells)}, got {got}")
    return _cells[name]


# ---- weights ----


cdef const fs_weight_info *_info(Cell cell, int i) noexcept:
    """The properties of the i-th weight array of a direction."""
    return &fs_weights[fs_cells[cell.number].weights[i]]


cdef class Weights:
    """Converted weights of one or two directions, as arguments of the kernels."""

    cdef ptrdiff_t hidden_size(self) noexcept:
        """H: the number of rows of the first array with one row per state."""
        cdef int i
        for i in range(self.cell.weight_count):
            if _info(self.cell, i).rows == FS_ROW_PER_STATE:
                return (<np.ndarray> self.arrays[i]).shape[0]
        return 0

    cdef int check(self, ptrdiff_t inputs, ptrdiff_t H) except -1:
        """ValueError unless all shapes fit the numbers of inputs and states."""
        cdef const fs_weight_info *info
        cdef np.ndarray x
        cdef ptrdiff_t columns, rows
        cdef int i
        for i in range(self.cell.weight_count * self.directions):
            info = _info(self.cell, i % self.cell.weight_count)
            x = self.arrays[i]
            columns = self.cell.gates * H if info.every_gate else H
            rows = H if info.rows == FS_ROW_PER_STATE else inputs
            if info.rows == FS_VECTOR:
                if x.shape[0] != columns:
                    raise wrong_shape(self.names[i], f"({columns},) with H {H}", x)
            elif x.shape[0] != rows or x.shape[1] != columns:
                raise wrong_shape(
                    self.names[i],
                    f"({rows}, {columns}) with {inputs} inputs and H {H}", x)
        return 0


cdef Weights as_weights(Cell cell, object params, str name, tuple names):
    cdef Weights own = Weights.__new__(Weights)
    cdef tuple given = as_sequence(params, name)
    cdef int count = cell.weight_count
    cdef np.ndarray x
    cdef fs_weight which
    cdef int i
    own.cell = cell
    own.names = names
    own.directions = 1
    if names is None:
        own.directions = 2 if len(given) == 2 * count else 1
        own.names = cell.names_of_two if own.directions == 2 else cell.names
    if len(given) != len(own.names):
        or_two = f", or {2 * count} for two directions" if names is None else ""
        raise ValueError(f"{name}: expected {count} arrays ({', '.join(cell.weights)}){or_two}; "
                         f"got {len(given)}")
    own.arrays = []
    memset(own.own, 0, sizeof(own.own))
    for i in range(len(given)):
        which = fs_cells[cell.number].weights[i % count]
        if fs_weights[which].rows == FS_VECTOR:
            x = as_vector(given[i], own.names[i])
        else:
            x = as_matrix(given[i], own.names[i])
        own.arrays.append(x)
        own.own[i // count].array[which] = matrix_of(x)
    return own
