"""Which rows of a table are better: the units they share, tests and intervals over these, verdicts, and sentences."""
