"""Files that know nothing of images: written whole, hashed, unpacked, configured."""
