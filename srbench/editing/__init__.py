"""A person's own images: upscaled, edited by latents, explored on a page."""
