"""Fast computation: convolutions, cached constants."""
