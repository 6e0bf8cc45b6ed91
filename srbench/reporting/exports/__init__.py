"""Results of a run for other programs and pages: one file per format, and the summary that a README carries."""
