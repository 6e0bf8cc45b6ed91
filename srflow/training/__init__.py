"""Training: the losses and their schedules."""
