"""Random numbers of a degradation, all from the generator of an image."""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Sequence
from itertools import accumulate
from typing import TypeVar

import torch

Option = TypeVar("Option")


class Range(tuple[float, float]):
    """A closed interval from which a number is drawn."""

    @classmethod
    def read(cls, value: object) -> Range:
        """Read a number or ``[low, high]`` of a TOML file. Raises ValueError."""
        numbers = value if isinstance(value, list | tuple) else [value, value]
        if len(numbers) != 2 or any(type(number) not in (int, float) for number in numbers):
            raise ValueError(f"{value!r} is neither a number nor a range [low, high]")
        low, high = map(float, numbers)
        if not 0 <= low <= high < math.inf:
            raise ValueError(f"{value!r} is not a range of numbers from 0 up; write [low, high]")
        return cls((low, high))

    def draw(self, generator: torch.Generator) -> float:
        """Draw a number."""
        return uniform(self, generator)


def uniform(interval: tuple[float, float], generator: torch.Generator) -> float:
    """Draw a number from a closed interval. Consumes exactly one random number, even if both ends are equal."""
    low, high = interval
    return low + (high - low) * torch.rand((), generator=generator, dtype=torch.float64).item()


def bernoulli(probability: float, generator: torch.Generator) -> bool:
    """Draw True with this probability."""
    return uniform((0, 1), generator) < probability


def categorical(probabilities: Sequence[float], generator: torch.Generator) -> int:
    """Draw an index with these probabilities, whose sum is 1."""
    return min(bisect(list(accumulate(probabilities)), uniform((0, 1), generator)), len(probabilities) - 1)


def choice(options: Sequence[Option], generator: torch.Generator) -> Option:
    """Draw one of the options, all equally likely."""
    return options[categorical([1 / len(options)] * len(options), generator)]


def require_probabilities(**probabilities: float) -> None:
    """Raise ValueError, with the name, for a number that is not a probability."""
    for name, probability in probabilities.items():
        if not 0 <= probability <= 1:
            raise ValueError(f"{name} is {probability}; it has to be a probability from 0 to 1")


def require_distribution(probabilities: Sequence[float], number: int) -> None:
    """Raise ValueError unless these are so many probabilities with sum 1."""
    if len(probabilities) != number or min(probabilities) < 0 or not math.isclose(sum(probabilities), 1):
        raise ValueError(f"probabilities are {list(probabilities)}; they have to be {number} with sum 1")
