from dataclasses import dataclass, field
from typing import Annotated, Literal

import pytest
from msgspec import Meta

from srbench.files.config import ConfigError, load_network, load_preset, load_toml, preset_names, structure, to_toml


class Colour(str):
    @classmethod
    def read(cls, value):
        if value not in ("red", "blue"):
            raise ValueError(f"{value!r} is not a colour")
        return cls(value)


@dataclass(frozen=True)
class Training:
    steps: int
    betas: tuple[float, float]
    milestones: tuple[float, ...] = ()

    def __post_init__(self):
        if self.steps < 1:
            raise ValueError(f"steps {self.steps} are below 1")


@dataclass(frozen=True)
class Loss:
    name: str
    network: Literal["vgg16", "vgg19"] | None = None
    colours: tuple[Colour, ...] = ()
    weights: Annotated[tuple[Annotated[float, Meta(ge=0, le=2)], ...], Meta(min_length=1)] = (1.0,)


@dataclass(frozen=True)
class Preset:
    training: Training
    scale: Literal[2, 4, 8]
    name: str = "none"
    augment: bool = True
    losses: tuple[Loss, ...] = ()
    parts: dict[str, Loss] = field(default_factory=dict)
    first: Loss | None = None
    crops: int | tuple[int, ...] | None = None


GOOD = """
scale = 4
augment = false
[training]
steps = 10
betas = [0, 0.99]
milestones = [0.5, 0.75]
"""
GIVEN = {"steps": 5, "betas": [0, 1]}


def test_a_file_becomes_the_dataclass(tmp_path):
    path = tmp_path / "good.toml"
    path.write_text(GOOD)
    preset = load_toml(path, Preset)
    assert preset == Preset(Training(10, (0.0, 0.99), (0.5, 0.75)), 4, "none", False)
    assert isinstance(preset.training.betas[0], float), "an integer may stand for a float"


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"trainig": 1}, "unknown key 'trainig'; did you mean training?"),
        ({"scale": 3}, "scale is 3; choose one of 2, 4, 8"),
        ({"scale": "4"}, "scale: expected int, got str"),
        ({"name": 3}, "name: expected str, got int"),
        ({"augment": 1}, "augment: expected bool, got int"),
        ({"training": 3}, "training: expected a table, got int"),
        ({"training": []}, "training: expected a table, got a list"),
        ({"training": {"steps": 5}}, "training.betas: missing"),
        ({"training": {"steps": 1.5, "betas": [0, 1]}}, "training.steps: expected int, got float"),
        ({"training": {"steps": True, "betas": [0, 1]}}, "training.steps: expected int, got bool"),
        ({"training": {"steps": 5, "betas": [0, "x"]}}, "training.betas 2: expected float, got str"),
        ({"training": {"steps": 5, "betas": [0]}}, "training.betas: expected a list of length 2, got 1"),
        ({"training": {"steps": 5, "betas": 5}}, "training.betas: expected a list, got int"),
        ({"training": {"steps": 5, "betas": [0, 10**400]}}, "training.betas 2: number out of range"),
        ({"training": {"steps": 0, "betas": [0, 1]}}, "training: steps 0 are below 1"),
        ({"crops": "4"}, "crops: expected int or a list, got str"),
        ({"losses": [{"name": "a"}, {}]}, "losses 2: name: missing"),
        ({"losses": [{"name": "a", "network": "vgg"}]}, "losses 1: network is 'vgg'; choose one of vgg16, vgg19"),
        ({"first": {"name": "a", "network": "vgg"}}, "first.network is 'vgg'; choose one of vgg16, vgg19"),
        ({"parts": {"x": {"name": "a", "network": "vgg"}}}, "parts[...].network is another value; choose one of vgg16"),
        ({"first": {"name": "a", "weights": []}}, "first.weights is empty; name at least one"),
        ({"losses": [{"name": "a", "weights": [1, -2]}]}, "losses 1: weights 2 is -2; it has to be 0.0 or more"),
        ({"losses": [{"name": "a", "weights": [3]}]}, "losses 1: weights 1 is 3; it has to be at most 2.0"),
        ({"first": {"name": "a", "colours": ["red", "grey"]}}, "first.colours 2: 'grey' is not a colour"),
        ({"training": GIVEN | {"step": 3}}, "training: unknown key 'step'; did you mean steps?"),
        ({"losses": [{"name": "a", "netwerk": "vgg16"}]}, "losses 1: unknown key 'netwerk'; did you mean network?"),
        ({"parts": {"x": {"name": "a", "netwerk": 3}}}, "parts.x: unknown key 'netwerk'; did you mean network?"),
        ({"first": {"name": "a", "netwerk": 3}}, "first: unknown key 'netwerk'; did you mean network?"),
    ],
)
def test_every_fault_has_its_path(change, fault):
    table = {"scale": 4, "training": GIVEN} | change
    with pytest.raises(ConfigError) as caught:
        structure(table, Preset, "x.toml")
    assert str(caught.value).startswith(f"x.toml: {fault}")
    assert "\n" not in str(caught.value)


def test_defaults_are_written_too():
    """Files state every value, as of an instance that its constructor made."""
    table = {"scale": 4, "training": GIVEN, "losses": [{"name": "a"}], "parts": {"x": {"name": "b"}}}
    preset = structure(table, Preset, "x.toml")
    made = Preset(Training(5, (0.0, 1.0)), 4, losses=(Loss("a"),), parts={"x": Loss("b")})
    for read, constructed in ((preset, made), (preset.losses[0], made.losses[0]), (preset.parts["x"], made.parts["x"])):
        assert [*vars(read).items()] == [*vars(constructed).items()]
    assert to_toml(preset) == to_toml(made)


def test_classes_that_read_themselves():
    preset = structure({"first": {"name": "a", "colours": ["red"]}, "scale": 4, "training": GIVEN}, Preset, "x.toml")
    assert preset.first == Loss("a", colours=(Colour("red"),))
    assert isinstance(preset.first.colours[0], Colour)


def test_what_is_no_toml(tmp_path):
    (tmp_path / "bad.toml").write_text("scale = = 4")
    with pytest.raises(ConfigError, match="not TOML"):
        load_toml(tmp_path / "bad.toml", Preset)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not TOML"):
        load_toml(tmp_path / "binary.toml", Preset)
    (tmp_path / "nul.toml").write_text(GOOD.replace("scale", 'name = "a\\u0000b"\nscale'))
    with pytest.raises(ConfigError, match=r"nul\.toml: contains a NUL"):
        load_toml(tmp_path / "nul.toml", Preset)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_toml(tmp_path / "absent.toml", Preset)


def test_presets_are_found_by_name(tmp_path):
    (tmp_path / "mini-x8.toml").write_text(GOOD)
    (tmp_path / "notes.txt").write_text("no preset")
    assert load_preset(tmp_path, "mini-x8", Preset).scale == 4
    with pytest.raises(
        ConfigError, match=r"unknown preset 'mini-x9'; did you mean mini-x8\? .*: mini-x8; or name a TOML"
    ):
        load_preset(tmp_path, "mini-x9", Preset)


def test_the_network_of_a_preset_needs_nothing_else(tmp_path):
    (tmp_path / "mini.toml").write_text("network = { steps = 10, betas = [0, 0.99] }\n[training]\ncolour = 3\n")
    (tmp_path / "notes.txt").write_text("no preset")
    assert preset_names(tmp_path) == ["mini"]
    assert load_network(tmp_path, "mini", Training) == Training(10, (0.0, 0.99))
    assert load_network(tmp_path, str(tmp_path / "mini.toml"), Training).steps == 10
    with pytest.raises(ConfigError, match="did you mean mini"):
        load_network(tmp_path, "minni", Training)
    (tmp_path / "mini.toml").write_text("network = { steps = 10 }")
    with pytest.raises(ConfigError, match=r"mini\.toml: network: betas: missing"):
        load_network(tmp_path, "mini", Training)
    (tmp_path / "mini.toml").write_text("network = 3")
    with pytest.raises(ConfigError, match=r"mini\.toml: has no table network"):
        load_network(tmp_path, "mini", Training)


def test_a_preset_of_ones_own_is_named_by_its_file(tmp_path):
    (tmp_path / "mine.toml").write_text(GOOD)
    (tmp_path / "presets").mkdir()
    assert load_preset(tmp_path / "presets", str(tmp_path / "mine.toml"), Preset).training.steps == 10
    with pytest.raises(ConfigError, match=r"absent\.toml: cannot be read"):
        load_preset(tmp_path / "presets", "absent.toml", Preset)


def test_values_are_changed_as_they_are_typed(tmp_path):
    path = tmp_path / "good.toml"
    path.write_text(GOOD)
    changes = ["training.steps=20", "training.milestones=[0.1]", "name=mine", "augment = true", "scale=8"]
    assert load_toml(path, Preset, changes) == Preset(Training(20, (0.0, 0.99), (0.1,)), 8, "mine", True)
    assert load_toml(path, Preset, ['name="a b"']).name == "a b"


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ("train.steps=3", "with train.steps=3: unknown key 'train'; did you mean training?"),
        ("training.step=3", "training: unknown key 'step'; did you mean steps?"),
        ("training.steps=many", "training.steps: expected int, got str"),
        ("training.steps", "write KEY=VALUE"),
        (".steps=3", "write KEY=VALUE"),
        ("scale.steps=3", "scale is a value, not a table; it has no steps"),
        ("scale=[", "'[' is not a TOML value"),
    ],
)
def test_a_change_that_changes_nothing_is_named(tmp_path, change, fault):
    path = tmp_path / "good.toml"
    path.write_text(GOOD)
    with pytest.raises(ConfigError) as caught:
        load_toml(path, Preset, [change])
    assert fault in str(caught.value)


def test_toml_is_written_as_it_is_read(tmp_path):
    path = tmp_path / "written.toml"
    preset = Preset(Training(3, (1e-7, 0.5), ()), 2, 'quoted "and" \\ ü, a tab \t and a delete \x7f', False)
    path.write_text(to_toml(preset))
    assert load_toml(path, Preset) == preset
