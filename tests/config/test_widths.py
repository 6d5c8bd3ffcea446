"""Channels in their three notations, and what a mistake in them reads like."""

import pytest

from stylex.config import NetworksConfig, load_experiment
from stylex.errors import ConfigError

PRESET = "generator_channels: [32, 32, 24, 16]"  # of config/presets/cpu-32.yaml
HERE = "stylex.networks.generator_channels"
NOTATIONS = "give a list of channels, capacity and fmap_max, or channel_base and channel_max"


def networks(root, widths: str) -> NetworksConfig:
    """Load the MNIST experiment with other channels of the generator."""
    with_networks(root, f"generator_channels: {widths}")
    return load_experiment(root, "mnist").stylex.networks


def with_networks(root, *lines: str) -> None:
    """Give the MNIST experiment a section of networks."""
    path = root / "config/experiments/mnist.yaml"
    section = "".join(f"    {line}\n" for line in lines)
    path.write_text(path.read_text().replace("stylex:\n", f"stylex:\n  networks:\n{section}"))


@pytest.mark.parametrize(
    ("widths", "channels"),
    [
        ("[4, 3, 2, 1]", [4, 3, 2, 1]),
        ("{capacity: 2, fmap_max: 20}", [20, 16, 8, 4]),
        ("{channel_base: 64, channel_max: 12}", [12, 8, 4, 2]),
        ("{channel_base: 8, channel_max: 12}", [2, 1, 1, 1]),
    ],
)
def test_channels_at_4_8_16_and_32(root, widths, channels):
    assert networks(root, widths).widths("generator", 32) == channels


def test_capacity_gives_encoder_and_discriminator_twice_the_channels(root):
    rule = "{capacity: 2, fmap_max: 100}"
    with_networks(root, *(f"{name}_channels: {rule}" for name in ("encoder", "discriminator")))
    config = load_experiment(root, "mnist").stylex.networks
    assert config.widths("encoder", 32) == config.widths("discriminator", 32) == [64, 32, 16, 8]


def test_channels_of_a_preset_are_replaced_whole(root):
    preset = root / "config/presets/cpu-32.yaml"
    text = preset.read_text()
    assert PRESET in text
    preset.write_text(text.replace(PRESET, "generator_channels: {capacity: 16, fmap_max: 512}"))
    assert networks(root, "{channel_base: 64, channel_max: 12}").widths("generator", 32) == [12, 8, 4, 2]


@pytest.mark.parametrize(
    ("widths", "named"),
    [
        ("[8, 8, 8, 0]", [f"{HERE}.3 = 0", "greater than or equal to 1"]),
        ("[8, 8]", [f"{HERE} has 2 entries", "resolution 32 needs 4"]),
        ("{capacity: 16}", [f"{HERE}.fmap_max: required key is missing"]),
        ("{capcity: 16, fmap_max: 512}", [f"{HERE}.capcity = 16: unknown key 'capcity'; did you mean 'capacity'?"]),
        ("{chanel_base: 64, channel_max: 8}", [f"{HERE}.chanel_base = 64", "did you mean 'channel_base'?"]),
        (
            "{capacity: 16, fmap_max: 9, channel_max: 8}",
            [f"{HERE}.channel_max = 8", "one of capacity, fmap_max"],
        ),
        ("{capacity: many, fmap_max: 9}", [f"{HERE}.capacity = 'many'", "integer"]),
        ("{4: 512}", [f"{HERE} = {{4: 512}}: {NOTATIONS}"]),
        ("wide", [f"{HERE} = 'wide': {NOTATIONS}"]),
        ("64", [f"{HERE} = 64: {NOTATIONS}"]),
        ("", [f"{HERE} = None: {NOTATIONS}"]),
    ],
)
def test_a_mistake_is_one_line_that_names_key_value_and_remedy(root, widths, named):
    with pytest.raises(ConfigError) as caught:
        networks(root, widths)
    line = str(caught.value)
    assert "config/experiments/mnist.yaml: " in line and "\n" not in line
    assert "<" not in line and "Widths" not in line  # names of our code
    for text in named:
        assert text in line
