"""Reading, writing, resizing and tiling images."""
