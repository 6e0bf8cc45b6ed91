"""Folders to train on, from the archives of the public datasets."""
