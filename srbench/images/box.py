"""Boxes: rectangles of images."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Box:
    """A rectangle of an image, in pixels."""

    x: int
    y: int
    width: int
    height: int

    def __str__(self) -> str:
        """``x,y,width,height``, as on the command line."""
        return f"{self.x},{self.y},{self.width},{self.height}"

    def aligned(self, grid: int) -> Box:
        """The smallest box that contains this box and whose sides and corners are multiples of ``grid``."""
        x, y = self.x - self.x % grid, self.y - self.y % grid
        right, bottom = -(-(self.x + self.width) // grid) * grid, -(-(self.y + self.height) // grid) * grid
        return Box(x, y, right - x, bottom - y)
