"""``srbench verify``: check that the table of a run follows from its records, images and models."""
