"""Activation memory of a training step by depth of the flow: python benchmarks/memory.py [--steps K ...].

For the preset celeba-x8 at HR 160 with K flow steps per level, with stored activations and reversible. Prints the peak
of the bytes of live tensors that the forward and the backward pass allocate, without the gradients of parameters, which
are as large as the parameters in either mode, and without memory inside single operations. The numbers depend on the
machine only if it uses different operations.
"""

from __future__ import annotations

import argparse
import weakref
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from srflow import SRFlow, SRFlowConfig


class Allocations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records when the memory of every tensor that operations make is allocated and freed."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.events: list[tuple[int, int]] = []
        """Number of a storage and its bytes, negative when freed."""
        self._numbers = weakref.WeakKeyDictionary[Any, int]()
        self._next = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        known = {storage.data_ptr() for storage in map(_storage, tree_leaves((args, kwargs))) if storage is not None}
        result = func(*args, **(kwargs or {}))
        for storage in map(_storage, tree_leaves(result)):
            if storage is not None and storage not in self._numbers and storage.data_ptr() not in known:
                self._note(storage)
        return result

    def number(self, tensor: Tensor) -> int | None:
        """Return the number of a tensor's storage; None if it was allocated before."""
        return self._numbers.get(tensor.untyped_storage())

    def peak(self, without: set[int]) -> int:
        """Return the peak of live bytes, ignoring some storages."""
        now = most = 0
        for number, nbytes in self.events:
            if number not in without:
                now += nbytes
                most = max(most, now)
        return most

    def _note(self, storage: torch.UntypedStorage) -> None:
        number, nbytes = self._next, storage.nbytes()
        self._next += 1
        self._numbers[storage] = number
        self.events.append((number, nbytes))
        weakref.finalize(storage, self.events.append, (number, -nbytes))


def peak_activations(model: SRFlow, hr: Tensor, lr: Tensor) -> int:
    """Return the peak bytes of a loss and its backward pass, without the gradients of parameters."""
    gradients: set[int] = set()
    allocations = Allocations()

    def arrived(gradient: Tensor) -> None:
        number = allocations.number(gradient)
        if number is not None:
            gradients.add(number)

    def accumulated(parameter: Tensor) -> None:
        if parameter.grad is not None:
            arrived(parameter.grad)

    hooks = [parameter.register_hook(arrived) for parameter in model.parameters()]  # type: ignore[no-untyped-call]
    hooks += [
        parameter.register_post_accumulate_grad_hook(accumulated)  # type: ignore[no-untyped-call]
        for parameter in model.parameters()
    ]
    with allocations:
        model(hr, lr).mean().backward()
    for hook in hooks:
        hook.remove()
    return allocations.peak(gradients)


def network(steps: int, *, reversible: bool) -> SRFlow:
    """Return the network of preset celeba-x8 with ``steps`` steps per level, untrained."""
    config = SRFlowConfig.from_preset("celeba-x8")
    model = SRFlow(replace(config, steps=steps)).train()
    model.reversible = reversible
    return model


def _storage(value: object) -> torch.UntypedStorage | None:
    return value.untyped_storage() if isinstance(value, Tensor) else None


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, nargs="+", default=[4, 16, 32])
    parser.add_argument("--batch", type=int, default=2)
    options = parser.parse_args()
    print(f"torch {torch.__version__}, batch {options.batch}, HR 160\n")
    print("| K | parameters | stored activations | reversible |")
    print("|--:|--:|--:|--:|", flush=True)
    hr = torch.rand(options.batch, 3, 160, 160)
    lr = F.avg_pool2d(hr, 8)
    for steps in options.steps:
        peaks = [peak_activations(network(steps, reversible=reversible), hr, lr) for reversible in (False, True)]
        parameters = sum(parameter.numel() for parameter in network(steps, reversible=True).parameters())
        stored, rebuilt = (f"{peak / 2**20:.0f} MB" for peak in peaks)
        print(f"| {steps} | {parameters / 1e6:.1f} M | {stored} | {rebuilt} |", flush=True)


if __name__ == "__main__":
    main()
