"""Training folders, made from the archives of public datasets."""
