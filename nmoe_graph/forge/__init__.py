"""GitHub: issues, pull requests, workflow runs.  What talks to it lives here, and nowhere else."""
