"""Reports of a matrix of runs: its table, its LaTeX, its page."""
