"""A run: which outputs and values are missing, and the two stages that make them."""
