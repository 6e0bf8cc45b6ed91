"""What all trainings share: pictures, patches, the loop."""
