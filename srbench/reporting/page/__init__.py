"""The page of a report: its content and its local server."""
