"""``python -m srbench``."""

from srbench.cli import main

main(prog_name="srbench")
