"""Tables of reports: what their cells say, and their text in every format."""
