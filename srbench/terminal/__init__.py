"""What the terminal shows: messages, tables, progress."""
