"""Search: the most probable answers of a network."""
