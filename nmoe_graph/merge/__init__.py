"""Real branches: what they change, how they land together, and landing them."""
