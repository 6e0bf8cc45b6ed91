"""Your own network in srbench: srbench run --models examples/my_model.py:MyModel:my_model.pth.

``python examples/my_model.py`` makes the checkpoint my_model.pth in a few seconds: it trains on a packaged photograph.
"""

import torch
from torch.nn import functional as F


class MyModel(torch.nn.Module):
    """Put your network here: (n, 3, h, w) in [0, 1] -> (n, 3, 4h, 4w)."""

    scale = 4

    def __init__(self, features: int = 16) -> None:
        super().__init__()
        self.head = torch.nn.Conv2d(3, features, 3, padding=1)
        self.tail = torch.nn.Conv2d(features, 3 * self.scale**2, 3, padding=1, bias=False)
        torch.nn.init.zeros_(self.tail.weight)  # before training, the output is bicubic

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        upscaled = F.interpolate(lr, scale_factor=self.scale, mode="bicubic")
        return upscaled + F.pixel_shuffle(self.tail(F.relu(self.head(lr))), self.scale)


if __name__ == "__main__":
    from srbench.data.datasets import packaged_photos

    torch.manual_seed(0)
    network, photo = MyModel(), packaged_photos(scale=4).read("dog")
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for _ in range(100):
        optimizer.zero_grad()
        F.l1_loss(network(photo.lr[None]), photo.hr[None]).backward()
        optimizer.step()
    torch.save(network.state_dict(), "my_model.pth")
