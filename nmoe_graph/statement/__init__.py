"""What a result says and who says it: statements, envelopes, signatures, and the policy about who may prove what."""
