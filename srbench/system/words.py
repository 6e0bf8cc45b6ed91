"""Numbers in sentences."""


def number_of(count: int, one: str, many: str = "") -> str:
    """``1 image``, ``10 images``; ``many`` is the plural where it is not ``one`` with an s."""
    return f"{count} {one if count == 1 else many or f'{one}s'}"
