"""Measure the ratios of docs/performance.md on this machine: python benchmarks/all.py [--official DIR].

Runs the benchmarks one after another, each in its own processes, and prints one table with the processor, torch and
the date, to compare machines. ``--official`` is a checkout of the authors' SRFlow (see official.py). Measure on a quiet
machine.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

from srbench.machine.environment import hardware, software

HERE = Path(__file__).parent


def ratios(script: str, *arguments: str, line: str) -> Iterator[tuple[str, str]]:
    """Run a benchmark and yield its ratios; ``line`` is a pattern with the groups ``name`` and ``ratio``.

    Raises CalledProcessError if it fails.
    """
    command = [sys.executable, str(HERE / script), *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    for match in re.finditer(line, done.stdout, re.MULTILINE):
        yield " ".join(match["name"].split()), match["ratio"]


def benchmarks(official: Path | None) -> list[tuple[str, tuple[str, ...], str]]:
    """Return title, command and pattern of all benchmarks; with ``official``, those against the authors' code first."""
    table = r"^\| (?P<name>[^|]+?) \|.*\| (?P<ratio>[\d.]+) \|$"
    against_official = [("official / srbench", ("official.py", str(official)), table)] if official else []
    shares = r"^\| (?P<name>[^|]+?) \|.*\| (?P<ratio>\d+%) \| \d+ MB \|$"
    plain = r"^(?P<name>srbench, \d+ worker\(s\)) .* (?P<ratio>[\d.]+) times$"
    return [
        *against_official,
        ("share of the best convolution", ("speed.py",), shares),
        ("plain script / srbench measure, 160x160", ("harness.py", "metrics", "--side=160", "--images=100"), plain),
        ("plain script / srbench measure, 512x512", ("harness.py", "metrics", "--side=512", "--images=12"), plain),
    ]


def main() -> None:
    """Run all benchmarks and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--official", type=Path)
    official, facts = parser.parse_args().official, hardware("cpu")
    print(f"{facts['cpu']}, {facts['cpus']} cores; torch {software()['torch']}; {date.today().isoformat()}\n")
    print("| | | |\n|---|---|--:|", flush=True)
    for title, command, line in benchmarks(official):
        for name, ratio in ratios(*command, line=line):
            print(f"| {title} | {name} | {ratio} |", flush=True)


if __name__ == "__main__":
    main()
