"""``srbench index``: one page of many runs, with a table for every dataset, scale and protocol."""
