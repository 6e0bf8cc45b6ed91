"""The eight columns of the table, one class each; found by entry points, described in docs/protocols.md."""
