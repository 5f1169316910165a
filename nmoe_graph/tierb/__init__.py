"""Tier B: a pull request's merge proven on runners that have what its gates need, and the proofs brought home."""
