"""Text to declarations.  Everything here treats its input as written by somebody else."""
