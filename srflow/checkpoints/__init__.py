"""Official checkpoints."""
