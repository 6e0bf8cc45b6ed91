"""An index of runs: one page with a table for every dataset, scale and protocol below some folders."""
