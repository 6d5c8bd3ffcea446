"""What reading a configuration file refuses, in one line that names the file and the remedy."""

import pytest

from stylex.config import load_experiment, load_suite
from stylex.config.loading import load_pipeline
from stylex.errors import ConfigError


def refusal(root, file: str, text: str, load) -> str:
    """Write the file, load it, and return the one line that refuses it."""
    (root / file).write_text(text)
    with pytest.raises(ConfigError) as caught:
        load()
    line = str(caught.value)
    assert line.startswith(str(root / file)) and "\n" not in line
    return line


def test_a_key_given_twice(root):
    line = refusal(root, "config/config.yaml", "suite: demo\n# other\nsuite: clothes\n", lambda: load_pipeline(root))
    assert "line 3: the key 'suite' stands in line 1 already; remove one" in line


def test_a_key_given_twice_deep_in_a_preset(root):
    preset = root / "config/presets/cpu-32.yaml"
    text = preset.read_text()
    again = text.replace("    batch_size: 16\n", "    batch_size: 16\n    batch_size: 32\n", 1)
    assert again != text
    number = text[: text.index("    batch_size: 16")].count("\n") + 1
    line = refusal(root, "config/presets/cpu-32.yaml", again, lambda: load_experiment(root, "mnist"))
    assert f"line {number + 1}: the key 'batch_size' stands in line {number} already" in line


def test_a_key_given_twice_in_one_line(root):
    text = "extends: cpu-32\ndataset: {name: mnist, name: mnist-full}\n"
    line = refusal(root, "config/experiments/mnist.yaml", text, lambda: load_experiment(root, "mnist"))
    assert "line 2: the key 'name' stands in line 2 already" in line


def test_the_same_key_in_two_sections_is_no_mistake(root):
    experiment = load_experiment(root, "mnist")
    assert experiment.attfind.batch_size == 512 and experiment.evaluation.batch_size == 64


def test_what_yaml_offers_against_repetition_still_works(root):
    """Anchors, and `<<`, which fills in keys that a mapping does not have."""
    path = root / "config/suites/demo.yaml"
    path.write_text("title: &name demo\nexperiments: [mnist]\ntables: [frechet]\n")
    assert load_suite(root, "demo").title == "demo"
    path.write_text("<<: {title: one, experiments: [mnist]}\ntitle: two\ntables: [frechet]\n")
    assert load_suite(root, "demo").title == "two"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("stylex: 3", ["stylex = 3", "a section goes here, with the keys conditional_discriminator, conditioning"]),
        ("stylex: {training: {precision: bfloat16}}", ["training.precision = 'bfloat16'", "with the keys cpu, cuda"]),
        (
            "stylex: {training: {precision: {gpu: bfloat16}}}",
            ["precision.gpu", "unknown key 'gpu'; did you mean"],
        ),
        (
            "stylex: {perceptual_backbone: mnist-32, training: {accumulation: 3}}",
            ["batch_size 16 is not a multiple", "accumulation 3"],
        ),
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
        ("evaluation: {frechet_extractors: [fid]}", ["frechet_extractors.0 = 'fid'", "'backbone' or 'inception'"]),
        ("evaluation: {frechet_extractors: [inception, inception]}", ["an extractor is listed twice: remove one"]),
        ("stylex: {perceptual_backbone: inception}", ["this name means pytorch-fid's network"]),
        ("stylex: {perceptual_backbone: mnist-32, perceptual: lpips}", ["stylex.perceptual = 'lpips'", "'lpips-vgg'"]),
        (
            "stylex: {perceptual_backbone: mnist-32, networks: {condition_coordinates: null},"
            " training: {mixed_conditions: 1}}",
            ["mixed_conditions is of networks.condition_coordinates: set them"],
        ),
        (
            "stylex: {perceptual_backbone: mnist-32, networks: {condition_coordinates: 192}}",
            ["condition_coordinates 192 leaves none of the 192 coordinates to w: lower it"],
        ),
        (
            "stylex: {perceptual_backbone: mnist-32, training: {images: 8000}}",
            ["autoencoder_images 8000 leaves none of the 8000 images to the discriminator: lower it"],
        ),
        ("attfind: {shards: 0}", ["attfind.shards = 0", "greater than or equal to 1"]),
    ],
)
def test_a_wrong_value(root, text, named):
    head = "extends: cpu-32\ntitle: a\ndomain: a\ndataset: {name: mnist}\n"
    line = refusal(root, "config/experiments/mnist.yaml", head + text + "\n", lambda: load_experiment(root, "mnist"))
    for part in named:
        assert part in line


def test_a_class_to_compare_with_that_is_none_of_the_experiment(root):
    text = "extends: cpu-32\ntitle: a\ndomain: a\ndataset: {name: mnist, classes: ['3', '5', '8']}\n"
    text += "attfind: {against: 4}\nstylex: {perceptual_backbone: mnist-32}\n"
    file = "config/experiments/mnist.yaml"
    line = refusal(root, file, text, lambda: load_experiment(root, "mnist"))
    assert "attfind.against: unknown class '4'; choose one of 3, 5, 8, or leave it out" in line
    (root / file).write_text(text.replace("against: 4", "against: 8"))
    assert load_experiment(root, "mnist").attfind.against == "8"


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
