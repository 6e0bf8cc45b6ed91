"""Fast computation: threads, convolutions, precision, cached constants."""
