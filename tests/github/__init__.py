"""GitHub, and the double of it that the tests talk to."""
