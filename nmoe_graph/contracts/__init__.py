"""Contracts as people meet them: drafted, synced from issues, worked on in a worktree, followed to the landing."""
