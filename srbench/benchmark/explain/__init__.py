"""Explanations of published numbers: the protocols under which two folders of images have them."""
