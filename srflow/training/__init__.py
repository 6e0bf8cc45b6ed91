"""Training of SRFlow: both stages and their losses."""
