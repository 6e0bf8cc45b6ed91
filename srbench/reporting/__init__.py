"""What is made of a run: tables, images, plots, pages, comparisons."""
