"""Programs that prove one thing about the trainer and exit with 0, or say what does not hold and exit with 1; for gates."""
