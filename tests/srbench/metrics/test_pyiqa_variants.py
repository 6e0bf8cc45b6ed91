"""Variants of pyiqa's metrics and the addresses of their weights: those that pyiqa asks for when it loads them."""

from __future__ import annotations

import re

import pytest

from srbench.interfaces import SRBenchError
from srbench.metrics.loading import open_metric
from srbench.metrics.pyiqa_variants import variants, weights_origin


def test_variants_share_a_network_and_what_it_compares_with():
    assert {*variants("musiq")} == {"musiq", "musiq-ava", "musiq-paq2piq", "musiq-spaq"}
    assert variants("maniqa-pipal")[0] == "maniqa-pipal"
    assert {*variants("maniqa-pipal")} == {"maniqa", "maniqa-kadid", "maniqa-pipal"}
    assert {*variants("topiq_fr")} == {"topiq_fr", "topiq_fr-pipal"}
    with pytest.raises(SRBenchError, match=r"unknown metric of pyiqa 'musik'; did you mean musiq\?"):
        variants("musik")


@pytest.mark.parametrize("name", ["musiq", "musiq-ava", "niqe", "niqe_matlab", "brisque", "cnniqa"])
def test_addresses_are_those_that_loading_asks_for(name, monkeypatch, tmp_path):
    monkeypatch.setenv("SRBENCH_OFFLINE", "1")
    monkeypatch.setattr("pyiqa.utils.download_util.DEFAULT_CACHE_DIR", str(tmp_path))
    with pytest.raises(SRBenchError) as caught:
        open_metric(f"pyiqa:{name}")
    asked = re.findall(r"it needs (https://\S+);", str(caught.value))
    assert [word for word in weights_origin(name).split() if word.startswith("https://")] == asked


def test_options_and_metrics_without_weights():
    assert weights_origin("maniqa-pipal").startswith("train_dataset=pipal https://")
    assert "clip/models/" in weights_origin("afine_fr"), "whatever was asked for before"
    assert weights_origin("gmsd") == "no address in pyiqa"


def test_a_network_that_cannot_be_imported(monkeypatch):
    def failing(kind):
        raise ModuleNotFoundError("No module named 'clip'", name="clip")

    monkeypatch.setattr("pyiqa.archs._lazy_import_arch", failing)
    assert weights_origin("clipiqa") == "unknown: No module named 'clip'"
