"""``python -m srbench``."""

from srbench.cli.main import main

main(prog_name="srbench")
