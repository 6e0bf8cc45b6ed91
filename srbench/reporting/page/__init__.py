"""The page of a report: its content, embedded images and local server."""
