"""Fast computation: convolutions, precision, cached constants."""
