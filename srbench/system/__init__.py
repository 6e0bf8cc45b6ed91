"""Configuration, terminal, processes and other parts that know nothing of images."""
