"""Pull requests: opened from what is proven, held against what counts, and answered once."""
