"""Ways to get tasks done: one function each, from tasks to finished lines of a run folder."""
