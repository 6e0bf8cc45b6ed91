"""Results as a notebook shows them: everything of a person's is text, and the numbers are those of the table."""

from __future__ import annotations

import base64
import io
import re
import shutil

import pytest
import torch
from PIL import Image

import srbench


def nearest(lr):
    return torch.nn.functional.interpolate(lr, scale_factor=4)


@pytest.fixture
def results(photos, tmp_path):
    models = {"<script>alert(1)": nearest, "bicubic": "bicubic"}
    return srbench.evaluate(models, photos, scale=4, limit=2, metrics=["psnr", "sigma"], out=tmp_path / "a<b>")


def test_answer_table_strip_and_path(results):
    text = results._repr_html_()
    assert "<p>Highest PSNR (RGB): bicubic" in text
    assert all(f">{value:.2f}</td>" in text for value in results.table["psnr"])
    assert f"<code>{str(results.folder).replace('<', '&lt;').replace('>', '&gt;')}</code></p>" in text
    assert "temporary" not in text
    [address] = re.findall(r'src="data:image/webp;base64,([^"]+)"', text)
    with Image.open(io.BytesIO(base64.b64decode(address))) as strip:
        assert max(strip.size) <= 720
    assert 'alt="a: LR, outputs and HR side by side"' in text


def test_names_are_text(results):
    text = results._repr_html_()
    assert "&lt;script&gt;alert(1)" in text
    assert "<script" not in text


def test_without_images_and_with_failures(results):
    shutil.rmtree(results.folder / "images")
    text = srbench.Results(results.folder, ["a: too small"])._repr_html_()
    assert "<img" not in text
    assert "1 failure, named by <code>.failures</code>" in text


def test_a_temporary_folder_is_called_so(photos):
    text = srbench.evaluate("bicubic", photos, scale=4, limit=1, metrics="psnr")._repr_html_()
    assert "temporary; <code>.report(FOLDER)</code> keeps it</p>" in text


def test_a_folder_without_values_is_refused(results):
    (results.folder / "samples.jsonl").write_text("")
    with pytest.raises(srbench.SRBenchError, match="a<b>: nothing is measured yet; run its command again"):
        srbench.Results(results.folder)
