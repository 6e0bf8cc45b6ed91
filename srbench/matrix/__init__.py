"""Several runs as one matrix: datasets, scales, suites and degradations."""
