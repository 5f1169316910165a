"""Digests to bytes and results, on a disk that may lie: every read is verified, nothing is ever half written."""
