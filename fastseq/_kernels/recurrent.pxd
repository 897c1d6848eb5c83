# What decoding has in common with the recurrent layers.

cdef int check_memory(double N, double T, double inputs, double V, double H) except -1
