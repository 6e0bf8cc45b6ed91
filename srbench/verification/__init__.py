"""``srbench verify``: whether the table of a run follows from its records, images and models."""
