"""The machine: its hardware and software, memory, threads and worker processes."""
