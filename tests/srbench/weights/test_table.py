"""Whom a checkpoint is credited to."""

import pytest

from srbench.weights.table import Origin, origin, released_weights

NOT_RELEASED = Origin("unknown", "unknown (not a released file)")


def test_a_known_sha256_is_credited_to_the_authors():
    entry = released_weights()["esrgan-x4"]
    credited = Origin("Apache-2.0", "DIV2K, Flickr2K and OutdoorSceneTraining, by the authors of ESRGAN")
    assert origin("esrgan", "df2k-x4", entry.sha256) == credited
    assert origin("esrgan", "my.toml", entry.sha256) == credited, "whatever it is read as"
    assert origin("esrgan", "df2k-x4", "0" * 64) == NOT_RELEASED
    assert origin("esrgan", "df2k-x4", "0" * 64, entry.addresses[0]) == NOT_RELEASED, "the address has another file now"


@pytest.mark.parametrize("name", [name for name, entry in released_weights().items() if entry.sha256 is None])
def test_without_a_sha256_nobody_is_credited_but_by_an_address(name):
    entry = released_weights()[name]
    anyone = origin(entry.model, entry.preset, "0" * 64)
    assert anyone.licence == "unknown"
    assert (
        anyone.trained_on == f"unknown (may be a copy of the released {name} or not: the sha256 of that is not known)"
    )
    assert origin(entry.model, entry.preset, "0" * 64, "https://example.org/x.pth") == anyone
    assert "authors" not in anyone.trained_on
    for address in entry.addresses:
        downloaded = origin(entry.model, entry.preset, "0" * 64, address)
        assert downloaded.licence == entry.licence
        assert downloaded.trained_on.startswith(entry.trained_on)
        assert address in downloaded.trained_on


def test_other_models_and_presets_are_nobodys():
    assert origin("srflow", "mine-x4", "0" * 64) == NOT_RELEASED
    assert origin("esrgan", "celeba-x8", "0" * 64) == NOT_RELEASED
    assert origin("vgg19", None, "0" * 64) == NOT_RELEASED
