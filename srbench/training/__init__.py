"""What all trainings share: images, patches, the loop."""
