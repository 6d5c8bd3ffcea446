"""Experiments: what they extend, whose classifier they explain, and which values go together."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from stylex.config import (
    BackboneConfig,
    ExperimentConfig,
    ExperimentPaths,
    FineTuningConfig,
    RegressorConfig,
    experiment_paths,
    load_backbone_config,
    load_experiment,
)
from stylex.errors import ConfigError

HEAD = "extends: cpu-32\ntitle: a\ndomain: a\n"
MNIST = f"{HEAD}dataset: {{name: mnist}}\n"
TWIN = (
    "extends: mnist\nclassifier_of: mnist\n"
    "stylex: {conditioning: none, conditional_discriminator: false, losses: {classifier: 0}}\n"
)


def write(root: Path, name: str, text: str, kind: str = "experiments") -> Path:
    path = root / "config" / kind / f"{name}.yaml"
    path.write_text(text)
    return path


def own(root: Path, text: str) -> ExperimentConfig:
    write(root, "own", text)
    return load_experiment(root, "own")


def refusal(root: Path, name: str, text: str) -> str:
    """Write an experiment and return the one line that refuses it."""
    path = write(root, name, text)
    with pytest.raises(ConfigError) as caught:
        load_experiment(root, name)
    line = str(caught.value)
    assert line.startswith(str(path)) and "\n" not in line
    return line


def test_an_experiment_extends_another_and_overrides_it_key_by_key(root):
    config = own(root, "extends: mnist\nseed: 3\nstylex: {training: {images: 64000}}\n").model_dump()
    mnist = load_experiment(root, "mnist").model_dump()
    assert (config.pop("seed"), mnist.pop("seed")) == (3, 0)
    assert (config["stylex"]["training"].pop("images"), mnist["stylex"]["training"].pop("images")) == (64000, 24000)
    assert config == mnist


def test_bases_that_cannot_be(root):
    assert "unknown preset or experiment 'mnst'; did you mean 'mnist'?" in refusal(root, "own", "extends: mnst\n")
    assert "own -> own is a circle" in refusal(root, "own", "extends: own\n")
    write(root, "first", "extends: second\n")
    write(root, "second", "extends: first\n")
    with pytest.raises(ConfigError, match="first -> second -> first is a circle; remove one 'extends'"):
        load_experiment(root, "first")
    write(root, "preset", "extends: mnist\n", "presets")  # presets and backbones extend presets only
    write(root, "other", "extends: preset\n")
    with pytest.raises(ConfigError, match="unknown preset 'mnist'"):
        load_experiment(root, "other")
    write(root, "other", "extends: mnist\n", "backbones")
    with pytest.raises(ConfigError, match="unknown preset 'mnist'"):
        load_backbone_config(root, "other")
    write(root, "mnist", "seed: 1\n", "presets")
    line = refusal(root, "own", "extends: mnist\n")
    assert "'mnist' is both" in line and "config/presets/mnist.yaml" in line and "rename one of them" in line


def test_a_classifier_may_be_explained_by_other_networks_and_other_images_with_its_classes(root):
    twin = own(root, TWIN)
    assert [load_experiment(root, "mnist").method, twin.method] == ["stylex", "without_cst"]
    paths, mnist = experiment_paths(root, "own"), ExperimentPaths(root, "mnist")
    assert paths.classifier == mnist.classifier and paths.stylex_model != mnist.stylex_model
    assert paths.folder.name == "own" and experiment_paths(root, "mnist") == mnist
    write(root, "mnist-full", "extends: backbone-32\ndataset: mnist-full\nepochs: 1\n", "backbones")
    assert "'mnist-32' is trained on mnist at 32" in refusal(root, "own", TWIN + "dataset: {name: mnist-full}\n")
    other = TWIN.replace("stylex: {", "stylex: {perceptual_backbone: mnist-full, ") + "dataset: {name: mnist-full}\n"
    dataset, theirs = own(root, other).dataset, load_experiment(root, "mnist").dataset
    assert (dataset.name, dataset.classes) == ("mnist-full", theirs.classes)
    assert experiment_paths(root, "own").classifier == mnist.classifier


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("extends: mnist\nclassifier_of: own\n", "'own' is this experiment; leave classifier_of out"),
        ("extends: mnist\nclassifier_of: mnst\n", "unknown experiment 'mnst'; did you mean 'mnist'?"),
        (TWIN + "dataset: {classes: ['3', '8']}\n", "the section 'dataset' differs in more than its name from that"),
        (TWIN + "classifier: {epochs: 1}\n", "the section 'classifier' differs from that of 'mnist'"),
        ("extends: mnist\nclassifier_of: mnist-without-cst\n", "no classifier of its own; name 'mnist'"),
    ],
)
def test_a_classifier_that_cannot_be_explained(root, text, named):
    assert named in refusal(root, "own", text)


TRAINED = "stylex: {perceptual_backbone: mnist-32, "


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("stylex: 3", ["stylex = 3", "a section goes here, with the keys conditional_discriminator, conditioning"]),
        ("stylex: {training: {precision: bfloat16}}", ["training.precision = 'bfloat16'", "with the keys cpu, cuda"]),
        ("stylex: {training: {precision: {gpu: bfloat16}}}", ["precision.gpu", "unknown key 'gpu'; did you mean"]),
        (TRAINED + "training: {accumulation: 3}}", ["batch_size 16 is not a multiple", "accumulation 3"]),
        ("stylex: {losses: {adversarial: hing}}", ["losses.adversarial = 'hing'", "'logistic' or 'hinge'"]),
        ("attfind: {algorithm: note}", ["attfind.algorithm = 'note'", "'paper', 'notebook' or 'image_fraction'"]),
        ("attfind: {discriminator_filter: 0.2}", ["a section goes here, with the keys change, effect, images"]),
        ("attfind: {unstable_filter: {effect: 2}}", ["attfind.unstable_filter.count: required key is missing"]),
        ("attfind: {algorithm: notebook, threshold: 0}", ["from 0 up to the threshold: set one above 0"]),
        ("attfind: {sampling: random}", ["attfind.sampling = 'random'", "'balanced' or 'natural'"]),
        ("attfind: {min_realism: 0, encode_shards: 2}", ["before any is chosen: set encode_shards: 1"]),
        ("attfind: {engine: screened, shards: 2}", ["engine screened", "not with shards: set shards: 1"]),
        (
            "attfind: {engine: screened, unstable_filter: {effect: 2, count: 7}}",
            ["not with unstable_filter: leave it out"],
        ),
        ("attfind: {shards: 0}", ["attfind.shards = 0", "greater than or equal to 1"]),
        ("evaluation: {frechet_extractors: [fid]}", ["frechet_extractors.0 = 'fid'", "'backbone' or 'inception'"]),
        ("evaluation: {frechet_extractors: [inception, inception]}", ["an extractor is listed twice: remove one"]),
        ("stylex: {perceptual_backbone: inception}", ["this name means pytorch-fid's network"]),
        (TRAINED + "perceptual: lpips}", ["stylex.perceptual = 'lpips'", "'lpips-vgg'"]),
        (
            TRAINED + "networks: {condition_coordinates: null}, training: {mixed_conditions: 1}}",
            ["mixed_conditions is of networks.condition_coordinates: set them"],
        ),
        (
            TRAINED + "networks: {condition_coordinates: 192}}",
            ["condition_coordinates 192 leaves none of the 192 coordinates to w: lower it"],
        ),
        (
            TRAINED + "training: {images: 8000}}",
            ["autoencoder_images 8000 leaves none of the 8000 images to the discriminator: lower it"],
        ),
    ],
)
def test_a_wrong_value(root, text, named):
    line = refusal(root, "mnist", f"{MNIST}{text}\n")
    assert all(part in line for part in named)


def test_without_options_attfind_is_algorithm_1_on_one_machine(root):
    attfind = load_experiment(root, "mnist").attfind
    assert (attfind.algorithm, attfind.against, attfind.sampling) == ("paper", None, "balanced")
    assert attfind.discriminator_filter is attfind.unstable_filter is attfind.min_realism is None
    assert (attfind.engine, attfind.shards) == ("exhaustive", 1)


def test_without_a_condition_all_that_is_of_it_is_off(root):
    assert load_experiment(root, "mnist").stylex.networks.condition_coordinates == 1
    stylex = load_experiment(root, "mnist-without-cst").stylex
    assert stylex.networks.condition_coordinates is None and stylex.losses.classifier_noise == 0
    training = stylex.training
    assert (training.counterfactuals, training.mixed_conditions, training.told) == (0, 0, "image")
    assert training.autoencoder_images == 8000 and stylex.losses.mapping == 1


DIGITS = "dataset: {name: mnist, classes: ['3', '5', '8']}"
REST = "dataset: {name: mnist, one_vs_rest: '3'}"


def classes(*sections: str) -> str:
    return HEAD + "stylex: {perceptual_backbone: mnist-32}\n" + "\n".join(sections)


@pytest.mark.parametrize(
    ("sections", "shown"),
    [
        ((DIGITS,), "8"),
        ((DIGITS, "attfind: {against: 8}"), "5"),
        ((DIGITS, "attfind: {against: 5}"), "8"),
        ((DIGITS, "attfind: {against: 8}", "evaluation: {figure_class: 3}"), "3"),
        ((REST,), "3"),
        ((REST, "attfind: {against: 3}"), "rest"),
        (("dataset: {name: mnist}", "attfind: {against: 9}"), "8"),
        (("dataset: {name: mnist, classes: [rest, '3']}",), "3"),
    ],
)
def test_the_class_shown_is_the_last_that_is_a_target(root, sections, shown):
    config = own(root, classes(*sections))
    assert config.shown_class(config.dataset.class_names or "0123456789") == shown


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        (
            (DIGITS, "attfind: {against: 4}"),
            "attfind.against: unknown class '4'; choose one of 3, 5, 8, or leave it out",
        ),
        ((REST, "attfind: {against: 5}"), "attfind.against: unknown class '5'; choose one of rest, 3, or leave it out"),
        (
            (DIGITS, "attfind: {against: 8}", "evaluation: {figure_class: 8}"),
            "evaluation.figure_class: '8' has no attributes, as attfind.against compares all others with it: name"
            " another class, or leave attfind.against out",
        ),
        (("dataset: {name: mnist}", "attfind: {against: 8}", "evaluation: {figure_class: 8}"), "'8' has no attributes"),
        ((DIGITS, "evaluation: {figure_class: 4}"), "figure_class: unknown class '4'; choose one of 3, 5, 8"),
        (
            ("dataset: {name: mnist, one_vs_rest: rest}",),
            "'rest' is what all other classes together are called: rename",
        ),
    ],
)
def test_a_class_that_cannot_be(root, sections, message):
    assert message in refusal(root, "own", classes(*sections))


def test_a_shown_class_that_no_dataset_has_is_refused_when_its_classes_are_known(root):
    config = own(root, classes("dataset: {name: mnist}", "evaluation: {figure_class: nine}"))
    with pytest.raises(ConfigError, match="figure_class: unknown class 'nine'; choose one of 0, 1"):
        config.shown_class("01")


HERE = "stylex.networks.generator_channels"
NOTATIONS = "give a list of channels, capacity and fmap_max, or channel_base and channel_max"


def widths(**networks: str) -> str:
    lines = "".join(f"    {name}_channels: {rule}\n" for name, rule in networks.items())
    return f"extends: mnist\nstylex:\n  networks:\n{lines}"


@pytest.mark.parametrize(
    ("rule", "channels"),
    [
        ("[4, 3, 2, 1]", [4, 3, 2, 1]),
        ("{capacity: 2, fmap_max: 20}", [20, 16, 8, 4]),
        ("{channel_base: 64, channel_max: 12}", [12, 8, 4, 2]),
        ("{channel_base: 8, channel_max: 12}", [2, 1, 1, 1]),
    ],
)
def test_channels_at_4_8_16_and_32_in_each_notation(root, rule, channels):
    assert own(root, widths(generator=rule)).stylex.networks.widths("generator", 32) == channels


def test_capacity_gives_encoder_and_discriminator_twice_the_channels(root):
    rule = "{capacity: 2, fmap_max: 100}"
    networks = own(root, widths(encoder=rule, discriminator=rule)).stylex.networks
    assert networks.widths("encoder", 32) == networks.widths("discriminator", 32) == [64, 32, 16, 8]


def test_channels_of_a_base_are_replaced_whole(root):
    write(root, "wide", widths(generator="{capacity: 16, fmap_max: 512}"))
    text = widths(generator="{channel_base: 64, channel_max: 12}").replace("extends: mnist", "extends: wide")
    assert own(root, text).stylex.networks.widths("generator", 32) == [12, 8, 4, 2]


@pytest.mark.parametrize(
    ("rule", "named"),
    [
        ("[8, 8, 8, 0]", [f"{HERE}.3 = 0", "greater than or equal to 1"]),
        ("[8, 8]", [f"{HERE} has 2 entries", "resolution 32 needs 4"]),
        ("{capacity: 16}", [f"{HERE}.fmap_max: required key is missing"]),
        ("{capcity: 16, fmap_max: 512}", [f"{HERE}.capcity = 16: unknown key 'capcity'; did you mean 'capacity'?"]),
        ("{chanel_base: 64, channel_max: 8}", [f"{HERE}.chanel_base = 64", "did you mean 'channel_base'?"]),
        ("{capacity: 16, fmap_max: 9, channel_max: 8}", [f"{HERE}.channel_max = 8", "one of capacity, fmap_max"]),
        ("{capacity: many, fmap_max: 9}", [f"{HERE}.capacity = 'many'", "integer"]),
        ("{4: 512}", [f"{HERE} = {{4: 512}}: {NOTATIONS}"]),
        ("wide", [f"{HERE} = 'wide': {NOTATIONS}"]),
        ("64", [f"{HERE} = 64: {NOTATIONS}"]),
        ("", [f"{HERE} = None: {NOTATIONS}"]),
    ],
)
def test_a_mistake_in_channels(root, rule, named):
    line = refusal(root, "own", widths(generator=rule))
    assert "<" not in line and "Widths" not in line  # names of our code
    assert all(text in line for text in named)


TRAINING = {"epochs": 1, "batch_size": 1, "learning_rate": 0.1}


def finetuning(**changes) -> FineTuningConfig:
    return FineTuningConfig.model_validate(TRAINING | changes)


@pytest.mark.parametrize(
    ("changes", "resolution", "stem"),
    [
        ({}, 64, "small"),
        ({}, 128, "published"),
        ({"stem": "small"}, 256, "small"),
        ({"stem": "published"}, 32, "published"),
        ({"pretrained": "imagenet"}, 32, "published"),
        ({"architecture": "timm:resnet18"}, 32, "published"),
    ],
)
def test_stem(changes, resolution, stem):
    assert finetuning(**changes).stem_at(resolution) == stem


@pytest.mark.parametrize(
    ("changes", "weights", "file", "published"),
    [
        ({"pretrained": "mine/a.pth", "architecture": "mobilenet_v1", "width": 0.5}, None, "mine/a.pth", True),
        ({"pretrained": "imagenet"}, "resnet18", None, True),
        ({}, None, None, False),
    ],
)
def test_where_the_weights_come_from(changes, weights, file, published):
    config = finetuning(**changes)
    assert (config.imagenet_weights, config.initial_file, config.published_inputs) == (weights, file, published)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "mobilenet_v1", "pretrained": "imagenet"}, "not for mobilenet_v1: give a file of weights"),
        ({"architecture": "timm:resnet18", "pretrained": "imagenet"}, "not for timm:resnet18: give a file of weights"),
        ({"pretrained": "imagenet", "width": 0.5}, "width = 0.5 does not go with torchvision's weights: set width: 1"),
        ({"architecture": "timm:resnet18", "width": 2}, "width = 2 does not go with timm's models: set width: 1"),
        ({"pretrained": "imagenet", "stem": "small"}, "stem: small goes with our own networks .*: set stem: auto"),
        ({"epochs_per_stage": 2}, "epochs_per_stage would freeze random weights: set pretrained, or leave it out"),
        ({"architecture": "timm:"}, "unknown architecture; choose one of 'resnet18'"),
        ({"pretrained": ""}, "at least 1 character"),
    ],
)
def test_trainings_of_a_classifier_that_do_not_go_together(changes, message):
    with pytest.raises(ValidationError, match=message):
        finetuning(**changes)


@pytest.mark.parametrize(
    ("model", "changes", "message"),
    [
        (BackboneConfig, {"architecture": "timm:resnet18"}, "a backbone gives maps of four stages"),
        (RegressorConfig, {"balance": "loss"}, "a regressor has no classes to balance: leave it out"),
        (RegressorConfig, {"label_smoothing": 0.1}, "a regressor has no labels to smooth: leave it out"),
    ],
)
def test_roles_that_cannot_be(model, changes, message):
    with pytest.raises(ValidationError, match=message):
        model.model_validate(TRAINING | {"dataset": "mnist", "resolution": 32} | changes)
