"""Fast computation: convolutions, precision, cached constants, groups of samples."""
