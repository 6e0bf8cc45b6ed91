"""What is made of a run: tables, pictures, plots, pages, comparisons."""
