"""Folders to train on, from the archives of the public data sets and from Debian's photographs."""
