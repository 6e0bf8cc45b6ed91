"""Files of any kind: atomic writing, hashes, archives, configuration, caches."""
