"""The machine: facts about it, memory, threads and worker processes."""
