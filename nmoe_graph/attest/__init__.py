"""Results to evidence: what a signed statement proves at a commit, and what a pull request may say of itself."""
