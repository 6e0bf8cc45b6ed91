"""Hardware and software of this machine, for the manifest of a run and for ``srbench doctor``."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = (
    "sr-bench",
    "torch",
    "torchvision",
    "numpy",
    "scipy",
    "pillow",
    "scikit-image",
    "opencv-python-headless",
    "lpips",
    "pandas",
    "safetensors",
)
_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
    "OPENBLAS_CORETYPE",
    "ONEDNN_MAX_CPU_ISA",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "ATEN_CPU_CAPABILITY",
    "CUBLAS_WORKSPACE_CONFIG",
    "NVIDIA_TF32_OVERRIDE",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
)
"""Environment variables that may affect the last bits of a number."""


def software() -> dict[str, str]:
    """Versions of the libraries that compute the numbers; in a checkout also its commit, as ``srbench source``."""
    commit = _source_commit()
    return _versions() | ({} if commit is None else {"srbench source": commit})


def hardware(device: str) -> dict[str, str]:
    """This machine and the models' device (``cpu``, ``cuda``, ``mps``), by name."""
    import torch

    values = {
        "platform": platform.platform(),
        "cpu": _cpu(),
        "cpus": str(os.cpu_count()),
        "threads": str(torch.get_num_threads()),
        "device": device,
    }
    return values | {"gpu": torch.cuda.get_device_name(device)} if device.startswith("cuda") else values


def environment(device: str) -> dict[str, str]:
    """Everything about this process that may affect the last bits of its numbers, by name.

    That is device and processor, threads, versions, and those of a list of environment variables that are set.
    """
    import torch

    machine = hardware(device)
    values = {
        "device": device.partition(":")[0],  # ``gpu`` says which
        "cpu": machine["cpu"],
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": machine["threads"],
    }
    if "gpu" in machine:
        values |= {"gpu": machine["gpu"], "cuDNN": str(torch.backends.cudnn.version())}  # type: ignore[no-untyped-call]
    return values | _versions() | {name: os.environ[name] for name in _VARIABLES if name in os.environ}


def _versions() -> dict[str, str]:
    import torch

    installed = {package: version_of(package) or "not installed" for package in _PACKAGES}
    # torch itself states its build (such as +cpu), which the installed metadata may omit
    return {"python": platform.python_version()} | installed | {"torch": str(torch.__version__)}


@cache
def version_of(package: str) -> str:
    """Version of an installed distribution; empty without it."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


@cache
def _cpu() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _source_commit() -> str | None:
    """Commit from which srbench runs, followed by ``changed`` if files differ; None outside a checkout of srbench."""
    git = ["git", "-C", str(Path(__file__).parents[1])]
    try:
        # An installed package may lie inside another project's checkout; the commit is srbench's only if it tracks us.
        _output(*git, "ls-files", "--error-unmatch", "__init__.py")
        commit = _output(*git, "rev-parse", "HEAD")
        return f"{commit} changed" if _output(*git, "status", "--porcelain", "--", ".") else commit
    except (OSError, subprocess.SubprocessError):
        return None


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
