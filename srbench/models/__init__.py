"""Models by name: loading, inference, foreign weights, results made elsewhere, export."""
