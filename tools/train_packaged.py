"""Train a packaged model again, stage after stage.

    python tools/debian_photographs.py photographs        # 246 of the 1,709 photographs
    python tools/drawn_images.py drawn 100
    python tools/train_packaged.py srflow 4 photographs all drawn runs/packaged

``all`` holds train/ and val/ of all photographs that tools/training-photographs.csv lists. Stages that OUT has already
are not trained again, and an interrupted stage resumes. A file OUT/STAGE-xSCALE.safetensors, such as weights packaged
earlier, takes the place of a stage and those before it:

    git log --oneline -- baselines/weights/rrdb-mini-x8.safetensors
    git show COMMIT:baselines/weights/rrdb-mini-x8.safetensors > runs/packaged/rrdb-second-x8.safetensors

Weights of the same bytes need the same processor and torch, and the compressed photographs that are not distributed.
The packaged models began with earlier versions of the trainers; the last stage of RRDB at 8x and ESRGAN need only the
weights before them, which the history of the repository has.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from level_samples import main as level_samples
from mean_of_weights import main as mean_of_weights

from srbench.terminal.output import say

BFLOAT16, COSINE = ("training.precision=bfloat16",), ("training.schedule=cosine", "training.milestones=[]")
RATE = {4: "training.learning_rate=8e-4", 8: "training.learning_rate=5e-4"}
"""Initial learning rates of the second and third training of ``srflow``."""


@dataclass(frozen=True)
class Stage:
    """A training."""

    model: str
    changes: tuple[str, ...] = ()
    """Changes of the preset."""
    start: str = ""
    """Stage, or ``NAME SCALE`` of another scale, whose weights it starts from; else as the preset says."""
    is_first: bool = False
    """Trained on the photographs of Debian's packages alone."""
    mean_with: str = ""
    """Stage whose weights are averaged with the trained weights, in equal parts."""
    is_best: bool = False
    """Its weights are those with the best validation."""
    temperature: float | None = None
    """Temperature at which the samples of a flow are levelled afterwards."""


def stages(scale: int) -> dict[str, Stage]:
    """Return the trainings of a scale by name, those of the packaged weights under the name of the model."""
    whole = ("encoder_freeze=0", "training.ema_decay=0.999")
    rrdb = ("training.steps=4000", "training.batch=8", "training.patch=96", "training.learning_rate=3e-4")
    rrdb_second = Stage("rrdb", (*rrdb, *COSINE, *BFLOAT16), "rrdb-first")
    longer = ("training.steps=4200", "training.batch=8", "training.patch=128", "training.learning_rate=2e-4")
    averaged = ("training.ema_decay=0.999", "training.validate_every=400", "training.seed=2")
    rrdb_third = Stage("rrdb", (*longer, *averaged, *COSINE, *BFLOAT16), "rrdb-second")
    second = ("encoder_freeze=0", RATE[scale], "training.steps=2600", *BFLOAT16)
    third = (*whole, RATE[scale], f"training.steps={4500 if scale == 4 else 4800}", "training.seed=1")
    fourth = {
        4: ("training.steps=4300", "training.learning_rate=2e-4"),
        8: ("training.steps=5800", "training.learning_rate=1e-4"),
    }[scale]
    perceptual = ("training.steps=1800", "training.seed=1", "losses.perceptual_precision=float32")
    last = ("training.warm_up=100", "training.seed=2", "training.validate_every=900", *BFLOAT16)
    rectified_second = ("training.steps=3800", "training.learning_rate=7e-4", "training.seed=1")
    return {
        "rrdb-first": Stage("rrdb", start="rrdb-first 8" if scale == 4 else "", is_first=True),
        "rrdb-second": rrdb_second,
        "rrdb": rrdb_second if scale == 4 else rrdb_third,
        "esrgan": Stage("esrgan", BFLOAT16, "rrdb-second", is_best=scale == 8),
        "rectified-flow-first": Stage("rectified-flow", ("training.steps=3400",), "rrdb"),
        "rectified-flow": Stage("rectified-flow", rectified_second, "rectified-flow-first"),
        "srflow-first": Stage("srflow", start="rrdb-first", is_first=True),
        "srflow-second": Stage("srflow", second, "srflow-first", temperature=0.85),
        "srflow-third": Stage("srflow", (*third, "training.validate_every=300"), "srflow-second", temperature=0.85),
        "srflow": Stage("srflow", (*whole, *fourth, *last), "srflow-third", temperature=0.85),
        "srflow-perceptual": {
            4: Stage("srflow-perceptual", ("training.seed=2", *BFLOAT16), "srflow", temperature=0.85),
            8: Stage("srflow-perceptual", perceptual, "srflow-third", mean_with="srflow", temperature=0.85),
        }[scale],
    }


def needed(name: str, scale: int, out: Path) -> dict[tuple[str, int], None]:
    """Return the stages that end with ``name`` in the order of training, each with its scale,
    after those with a file.
    """
    if _file(name, scale, out).exists():
        return {}
    stage = stages(scale)[name]
    before: dict[tuple[str, int], None] = {}
    for text in filter(None, (stage.start, stage.mean_with)):
        other, _, its_scale = text.partition(" ")
        before |= needed(other, int(its_scale or scale), out)
    return before | {(name, scale): None}


def train(name: str, scale: int, images: tuple[Path, Path, Path], out: Path) -> None:
    """Train a stage into out/NAME-xSCALE, whose initial weights ``out`` has, and level its samples."""
    stage = stages(scale)[name]
    photographs, everything, drawn = images
    folder = photographs if stage.is_first else everything
    data = ["--data", str(folder / "train"), *(() if stage.is_first else ("--data", str(drawn)))]
    start, _, other = stage.start.partition(" ")
    initial = ["--start", str(weights(start, int(other or scale), out))] if start else []
    changes = [part for change in stage.changes for part in ("--set", change)]
    training = out / f"{name}-x{scale}"
    arguments = ["train", stage.model, "--preset", f"mini-x{scale}", *data, "--validation", str(folder / "val")]
    command = ["srbench", *arguments, *initial, *changes, "--out", str(training)]
    say(" ".join(command))
    subprocess.run([sys.executable, "-m", *command], check=True)
    final = weights(name, scale, out)
    if stage.temperature is None or final.exists():
        return
    trained = training / "weights.safetensors"
    if stage.mean_with:
        mean = out / f"{name}-x{scale}-mean.safetensors"
        mean_of_weights(trained, weights(stage.mean_with, scale, out), 0.5, mean)
        trained = mean
    level_samples(trained, photographs / "train", stage.temperature, final)


def weights(name: str, scale: int, out: Path) -> Path:
    """Path of the weights of a stage."""
    stage, trained, file = stages(scale)[name], out / f"{name}-x{scale}", _file(name, scale, out)
    if stage.temperature is not None or file.exists():
        return file
    return trained / "best.safetensors" if stage.is_best else trained


def _file(name: str, scale: int, out: Path) -> Path:
    return out / f"{name}-x{scale}.safetensors"


def main() -> None:
    """Train what the command line names."""
    name, scale, *images, out = sys.argv[1:]
    photographs, everything, drawn = map(Path, images)
    for stage, its_scale in needed(name, int(scale), Path(out)):
        train(stage, its_scale, (photographs, everything, drawn), Path(out))


if __name__ == "__main__":
    main()
