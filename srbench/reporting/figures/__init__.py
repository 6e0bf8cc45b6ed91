"""Figures of a report: plots of the table, strips and maps of the images."""
