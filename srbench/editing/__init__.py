"""A person's own pictures: enlarged, edited by latents, explored on a page."""
