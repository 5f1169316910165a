"""Declarations become one graph: closed world, no cycles, questions."""
