"""The rank of this process among those that torchrun or Slurm started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_VARIABLES = {
    "torchrun": ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
    "srun": ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"),
}
"""Environment variables of each launcher: rank, number of processes, rank on this machine. Slurm sets its own around
torchrun, too, so torchrun is first."""


@dataclass(frozen=True)
class Rank:
    """A process of several that were started together."""

    number: int
    """From 0 to ``world`` - 1."""
    world: int
    """Number of processes, on all machines together."""
    on_machine: int
    """Number among the processes of this machine, from 0; 0 if the launcher states none."""


def launched_rank(environment: Mapping[str, str]) -> Rank:
    """Read the rank of this process from its environment variables.

    Raises ValueError, which says what was looked for, if there is none or it is no rank of that many processes.
    """
    for rank, world, on_machine in _VARIABLES.values():
        if rank not in environment or world not in environment:
            continue
        texts = environment[rank], environment[world], environment.get(on_machine, "0")
        is_number = [text.isascii() and text.isdigit() for text in texts]
        if not all(is_number[:2]) or int(texts[0]) >= int(texts[1]):
            raise ValueError(f"{rank} is {texts[0]!r} and {world} {texts[1]!r}; ranks go from 0 to {world} - 1")
        if not is_number[2]:
            raise ValueError(f"{on_machine} is {texts[2]!r}; it is the rank on this machine, from 0")
        return Rank(*map(int, texts))
    pairs = [f"{rank} and {world} (set by {name})" for name, (rank, world, _) in _VARIABLES.items()]
    raise ValueError(
        f"looked for {' or '.join(pairs)}, but found neither pair; start srbench by one of them, or give I/N"
    )
