"""The facts in a weights file: the packaged ones are read whole, and what is wrong is named in one line."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from srbench.weights.files import WeightsError, load_weights
from srbench.weights.metadata import WeightsMetadata, read_metadata

ROOT = Path(__file__).parents[3]
PACKAGED = sorted([*ROOT.glob("baselines/weights/*.safetensors"), *ROOT.glob("srflow/weights/*.safetensors")])


@pytest.mark.parametrize("path", PACKAGED, ids=lambda path: path.stem)
def test_packaged_files_are_read_and_would_be_written_alike(path):
    text = load_weights(path)[1]
    metadata = read_metadata(text, path)
    assert metadata.text() == text
    assert f"{metadata.model}-{metadata.preset}" == path.stem
    assert metadata.config == json.loads(text["config"])


def test_every_fact_is_read_back_as_it_was():
    settings, losses, metrics = {"training": {"betas": [0.9, 0.99]}}, {"nll": [1.5, 2.0]}, {"psnr": 24.5}
    validated = {"last": {"step": 60, "psnr": 24.5}}, "one image"
    first = WeightsMetadata("srflow", "p", 4, {"steps": 2}, "CC0-1.0", "nothing", 0.8, "a1", "b2", "", settings)
    metadata = replace(
        first,
        images="AAAA",
        losses=losses,
        metrics=metrics,
        step=60,
        validation=validated[0],
        validated_on=validated[1],
    )
    assert None not in vars(metadata).values()
    assert read_metadata(metadata.text(), Path("f")) == metadata
    assert metadata.text()["validation"] == '{"last": {"step": 60, "psnr": 24.5}}'
    assert set(map(type, metadata.text().values())) == {str}
    assert WeightsMetadata("rrdb", "mini-x4").text() == {"model": "rrdb", "preset": "mini-x4"}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ({}, "model: missing"),
        ({"colour": "red"}, "unknown key 'colour'"),
        ({"licens": "CC0-1.0"}, "did you mean licence"),
        ({"scale": "four"}, "scale in its metadata is not JSON"),
        ({"scale": "9" * 5000}, "scale in its metadata is not JSON"),
        ({"config": "[" * 100_000}, "config in its metadata is not JSON"),
        ({"scale": "4.5"}, "scale: expected int, got float"),
        ({"images": "AAA"}, "images in its metadata is not base64"),
        ({"images": "AA-_"}, "images in its metadata is not base64"),
        ({"config": "3"}, "config: expected a table"),
        ({"losses": '{"l1": 3}'}, "losses[...]: expected a list, got int"),
        ({"losses": '{"l1": ["x"]}'}, "losses[...] 1: expected float, got str"),
        ({"metrics": '{"psnr": true}'}, "metrics[...]: expected float, got bool"),
        ({"validation": '{"last": {"step": "60"}}'}, "validation[...][...]: expected int or float, got str"),
    ],
)
def test_what_does_not_fit_is_one_line(text, fault):
    with pytest.raises(WeightsError) as caught:
        read_metadata(text if not text else {"model": "rrdb"} | text, Path("w.safetensors"))
    assert str(caught.value).startswith("w.safetensors: ")
    assert fault in str(caught.value)
    assert "\n" not in str(caught.value)
