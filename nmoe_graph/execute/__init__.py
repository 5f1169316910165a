"""Intent to results: the sandbox, the process tree, the executors."""
