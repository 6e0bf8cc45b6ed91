"""Whom a checkpoint is credited to."""

from srbench.weights.metadata import WeightsMetadata
from srbench.weights.table import released_weights, with_licence

NOT_RELEASED = ("unknown", "unknown (not known to be a released file)")


def origin(model, preset, sha256, address=None):
    found = with_licence(WeightsMetadata("x", preset), model, sha256, address)
    return found.licence, found.trained_on


def test_a_known_sha256_is_credited_to_the_authors():
    entry = released_weights()["esrgan-x4"]
    authors = ("Apache-2.0", "DIV2K, Flickr2K and OutdoorSceneTraining, by the authors of ESRGAN")
    assert origin("esrgan", "df2k-x4", entry.sha256) == authors
    assert origin("esrgan", "my.toml", entry.sha256) == authors, "whatever it is read as"
    assert origin("esrgan", "df2k-x4", "0" * 64) == NOT_RELEASED
    assert origin("esrgan", "df2k-x4", "0" * 64, entry.addresses[0]) == NOT_RELEASED, "the address has another file now"


def test_without_a_sha256_nobody_is_credited_but_by_an_address():
    entry = next(entry for entry in released_weights().values() if entry.sha256 is None)
    assert origin(entry.model, entry.preset, "0" * 64) == NOT_RELEASED
    assert origin(entry.model, entry.preset, "0" * 64, "https://example.org/x.pth") == NOT_RELEASED
    for address in entry.addresses:
        licence, trained_on = origin(entry.model, entry.preset, "0" * 64, address)
        assert licence == entry.licence
        assert trained_on.startswith(entry.trained_on)
        assert address in trained_on


def test_other_models_and_presets_are_nobodys():
    assert origin("srflow", "mine-x4", "0" * 64) == NOT_RELEASED
    assert origin("esrgan", "celeba-x8", "0" * 64) == NOT_RELEASED
