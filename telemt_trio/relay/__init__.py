"""Two directions of bytes between two ends, counted, limited and ended."""
