"""The files of a run folder: manifest, records, checksums, and the results in them."""
