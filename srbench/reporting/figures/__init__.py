"""Figures of a report: plots of the table, strips, grids and maps of the images."""
