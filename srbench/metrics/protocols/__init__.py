"""Protocols in use: the ways in which papers and toolkits compute one metric, and their values."""
