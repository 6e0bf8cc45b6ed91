"""Protocols in use: the ways in which papers and toolkits compute a metric, for ``srbench explain``."""
