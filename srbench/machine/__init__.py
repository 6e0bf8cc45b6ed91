"""Facts about the machine, its memory and its processes."""
