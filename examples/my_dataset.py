"""Your own dataset in srbench: srbench run --models bicubic --scale 4 --data examples/my_dataset.py:MyDataset."""

from collections.abc import Iterator

from srbench.data.datasets import packaged_photos
from srbench.interfaces import ImagePair


class MyDataset:
    """The packaged photographs upside down. Read your own files instead, and pair them by name, never by order."""

    def __init__(self, scale: int) -> None:
        self.name, self.photos = "upside-down", packaged_photos(scale)

    def __len__(self) -> int:
        return len(self.photos)

    def __iter__(self) -> Iterator[str]:
        return iter(self.photos)

    def read(self, name: str) -> ImagePair:
        pair = self.photos.read(name)
        return ImagePair(name, pair.lr.flip(-2), pair.hr.flip(-2))

    def digest(self, name: str) -> str:
        return self.photos.digest(name)
