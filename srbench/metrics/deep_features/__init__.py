"""Deep features of images, which LPIPS compares."""
