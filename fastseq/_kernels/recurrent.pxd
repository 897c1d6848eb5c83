# A check that decoding uses too.

cdef int check_memory(double N, double T, double inputs, double V, double H) except -1
