"""Content to names: the canonical encoding, action keys, node digests."""
