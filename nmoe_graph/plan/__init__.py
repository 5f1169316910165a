"""What follows from digests and proofs: affected targets, explanations, the merge order.  Pure: no git, no disk, no clock."""
