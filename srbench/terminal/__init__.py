"""Output on the terminal: messages, tables, progress."""
