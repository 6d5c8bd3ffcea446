"""What a search sees (one against one, filters), merged lists, ten classes and more, and the stage with all options."""

import pytest
import torch
import yaml

from stylex.artifacts import read_json
from stylex.attfind.records import Direction, Effects, EffectsHeader, EffectsRow, effects_writer, read_attributes
from stylex.attfind.selection import (
    allowed_moves,
    images_to_explain,
    merged,
    only,
    select,
    select_attributes,
    stable_images,
    targets,
)
from stylex.config import AttFindConfig, ExperimentPaths, load_experiment
from stylex.errors import ArtifactError, AttributesNotFoundError, ConfigError
from stylex.latents.table import Latents, write_latents

TO_MIN, TO_MAX = Direction.TO_MIN, Direction.TO_MAX
DIGITS = tuple("0123456789")


def effects_of(effect, decisions, class_names, change=None):
    """Effects [N, 2, K, classes] on reconstructions classified as `decisions`, by a margin of 1."""
    size = effect.shape[2]
    zeros, ones = [0.0] * size, [1.0] * size
    header = EffectsHeader(tuple(class_names), 1.0, "float32", zeros, ones, [0] * size, list(range(size)), {})
    base = torch.nn.functional.one_hot(torch.as_tensor(decisions), len(class_names)).float()
    return Effects([f"image-{row}" for row in range(len(effect))], base, effect, header, change)


def latents_of(effects, decisions):
    """Latents of the same images, which the classifier sees as `decisions`, in the reverse order."""
    count, classes = effects.base_logits.shape
    order = list(reversed(range(count)))
    logits = torch.nn.functional.one_hot(torch.as_tensor(decisions), classes).float()[order]
    numbers, vectors = torch.zeros(count), torch.zeros(count, 2)
    return Latents(
        ids=[effects.ids[row] for row in order],
        labels=logits.argmax(1),
        logits=logits,
        w=vectors,
        styles=vectors,
        to_rgb_styles=vectors,
        reconstruction_l1=numbers,
        reconstruction_perceptual=numbers,
        reconstruction_logits=effects.base_logits[order],
        discriminator=numbers,
        class_names=effects.header.class_names,
        provenance={},
    )


def indices(selection):
    return [(a.style_index, a.direction) for a in selection.attributes]


# --- one against one


def three_classes():
    """Images 0 (an a), 1 and 2 (c's); s0 raises b and c alike, s1 raises b and lowers c, s2 is for a's only."""
    effect = torch.zeros(3, 2, 3, 3)
    effect[:, TO_MAX, 0] = torch.tensor([0.0, 5.0, 5.0])
    effect[1:, TO_MIN, 1] = torch.tensor([0.0, 1.0, -2.0])
    effect[0, TO_MAX, 2] = torch.tensor([0.0, 90.0, 0.0])
    return effects_of(effect, [0, 2, 2], "abc")


def test_against_one_class_takes_its_images_and_the_difference_of_the_logits():
    selection = select_attributes(three_classes(), 1, 10.0, 10, against="c")
    assert indices(selection) == [(1, TO_MIN)] and selection.images == 2
    assert selection.attributes[0].mean_effect == pytest.approx(3.0)
    against_all = select_attributes(three_classes(), 1, 100.0, 10)
    assert indices(against_all) == [(2, TO_MAX), (0, TO_MAX), (1, TO_MIN)] and against_all.images == 3


def test_against_the_other_of_two_classes_is_another_question():
    effect = torch.zeros(2, 2, 2, 2)
    effect[:, TO_MAX, 0] = torch.tensor([0.0, 1.0])
    effect[:, TO_MIN, 1] = torch.tensor([-4.0, 0.0])  # does not raise b, lowers a
    effects = effects_of(effect, [0, 0], "ab")
    assert indices(select_attributes(effects, 1, 10.0, 10)) == [(0, TO_MAX)]
    assert indices(select_attributes(effects, 1, 10.0, 10, against="a")) == [(1, TO_MIN), (0, TO_MAX)]


def test_the_class_compared_with_is_no_target():
    assert targets(three_classes(), None) == [0, 1, 2]
    assert targets(three_classes(), "b") == [0, 2]


def test_an_unknown_class_is_one_line_with_the_known_ones():
    with pytest.raises(ConfigError) as caught:
        targets(three_classes(), "d")
    assert str(caught.value) == "attfind.against: unknown class 'd'; choose one of a, b, c, or leave it out"


def test_no_image_of_the_class_compared_with():
    with pytest.raises(AttributesNotFoundError, match="no reconstruction is classified as 'b', .* turned into 'a'"):
        images_to_explain(three_classes(), 0, "b")


# --- filters


def filtered(limit, change):
    effect = torch.zeros(3, 2, 2, 2)
    effect[:, TO_MAX, 0, 1], effect[:, TO_MIN, 1, 1] = 2.0, 1.0
    return select_attributes(effects_of(effect, [0, 0, 1], "ab", change), 1, 9.0, 10, discriminator_filter=limit)


def test_discriminator_filter_drops_what_it_changes_on_the_images_to_explain():
    change = torch.zeros(3, 2, 2)
    change[:, TO_MAX, 0] = torch.tensor([0.1, 0.5, 0.3])  # mean over images 0 and 1: 0.3
    change[:, TO_MIN, 0] = 99.0  # the other direction
    change[2, TO_MIN, 1] = 99.0  # an image that is a b already
    assert indices(filtered(0.31, change)) == [(0, TO_MAX), (1, TO_MIN)]
    assert indices(filtered(0.29, change)) == [(1, TO_MIN)]
    assert indices(filtered(None, change)) == [(0, TO_MAX), (1, TO_MIN)]
    with pytest.raises(AttributesNotFoundError, match="raise attfind.discriminator_filter"):
        filtered(0.2, torch.ones(3, 2, 2))


def test_a_change_equal_to_the_filter_stays():
    change = torch.full((3, 2, 2), 0.25)
    effects = effects_of(torch.zeros(3, 2, 2, 2), [0, 0, 1], "ab", change)
    assert allowed_moves(effects, torch.tensor([0, 1]), 0.25).all()
    assert not allowed_moves(effects, torch.tensor([0, 1]), 0.24).any()


def test_discriminator_filter_needs_its_measurement():
    with pytest.raises(ArtifactError, match="attfind.discriminator_filter needs; .* run `stylex effects` again"):
        filtered(0.2, None)


def test_stable_images_are_decided_alike_and_clearly():
    effects = effects_of(torch.zeros(4, 2, 1, 3), [0, 1, 2, 2], "abc")
    effects.base_logits[3] = torch.tensor([-5.0, 0.5, 1.0])  # a margin of 0.5
    latents = latents_of(effects, [0, 0, 2, 2])  # image 1 was an a
    assert stable_images(effects, latents, 0.0).tolist() == [True, False, True, True]
    assert stable_images(effects, latents, 0.5).tolist() == [True, False, True, True]
    assert stable_images(effects, latents, 0.6).tolist() == [True, False, True, False]
    assert not stable_images(effects, latents, 1.1).any()


def test_only_keeps_rows_together():
    effect = torch.arange(4.0)[:, None, None, None].expand(4, 2, 1, 2)
    effects = effects_of(effect, [0, 1, 0, 1], "ab", effect[..., 0])
    kept = only(effects, torch.tensor([False, True, False, True]))
    assert kept.ids == ["image-1", "image-3"] and kept.base_logits.argmax(1).tolist() == [1, 1]
    assert kept.effect[:, 0, 0, 0].tolist() == [1, 3] == kept.discriminator_change[:, 0, 0].tolist()
    assert len(effects.ids) == 4
    with pytest.raises(AttributesNotFoundError, match="none of the 4 .* lower attfind.unstable_filter"):
        only(effects, torch.zeros(4, dtype=torch.bool))


def test_latents_without_an_image():
    effects = effects_of(torch.zeros(2, 2, 1, 2), [0, 1], "ab")
    latents = latents_of(effects, [0, 1])
    latents.ids.remove("image-1")
    with pytest.raises(ArtifactError, match="image-1 has effects but no latents; run `stylex effects` again"):
        stable_images(effects, latents, 0.0)


# --- the merged lists of two classes


def two_sided():
    """Images 0 and 1 are b's, 2 and 3 a's. Towards a: s0 to_max, s1 to_min. Towards b: s1 to_max, s2 to_max."""
    effect = torch.zeros(4, 2, 3, 2)
    effect[:2, TO_MAX, 0, 0] = 4.0
    effect[:2, TO_MIN, 1, 0] = 2.0
    effect[2:, TO_MAX, 1, 1] = 5.0
    effect[2:, TO_MAX, 2, 1] = 3.0
    effect[:, TO_MIN, 2, 0] = -1.0
    return effects_of(effect, [1, 1, 0, 0], "ab")


def options(**changed):
    values = {"images": 4, "shift": 1, "max_attributes": 10, "threshold": 5.5, "batch_size": 1, "algorithm": "notebook"}
    return AttFindConfig(**(values | changed))


def lists(effects, config):
    found = []
    for target in (0, 1):
        keywords = {"algorithm": config.algorithm, "discriminator_filter": config.discriminator_filter}
        found += select_attributes(effects, target, config.threshold, config.max_attributes, **keywords).attributes
    return found


def test_merged_by_the_two_sided_score():
    # Scores, means over all four images: s1 2/2 + 5/2 = 3.5, s0 4/2 = 2, s2 -1 + 3/2 = 0.5.
    rows = merged(two_sided(), lists(two_sided(), options()), options())
    found = [(a.target_class, a.rank, a.style_index, a.direction, a.images_explained) for a in rows]
    assert found == [
        ("a", 1, 1, TO_MIN, 0), ("a", 2, 0, TO_MAX, 2), ("a", 3, 2, TO_MIN, 0),  # sums 2, 6, 6
        ("b", 1, 1, TO_MAX, 0), ("b", 2, 0, TO_MIN, 0), ("b", 3, 2, TO_MAX, 2),  # sums 5, 5, 8
    ]  # fmt: skip
    assert [a.mean_effect for a in rows] == pytest.approx([1.0, 2.0, -1.0, 2.5, 0.0, 1.5])


def test_merged_keeps_the_limit_and_the_filter():
    few = options(max_attributes=2)
    rows = merged(two_sided(), lists(two_sided(), few), few)
    assert [(a.target_class, a.style_index) for a in rows] == [("a", 1), ("a", 0), ("b", 1), ("b", 0)]
    effects, strict = two_sided(), options(discriminator_filter=0.5)
    change = torch.zeros(4, 2, 3)
    change[:, TO_MIN, 1] = 1.0
    effects = effects_of(effects.effect, [1, 1, 0, 0], "ab", change)
    rows = merged(effects, lists(effects, strict), strict)
    assert [(a.target_class, a.rank, a.style_index) for a in rows] == [
        ("a", 1, 0), ("a", 2, 2), ("b", 1, 1), ("b", 2, 0), ("b", 3, 2),
    ]  # fmt: skip


# --- the stage, and many classes


def ten_classes():
    """100 images, ten of each class; in each, coordinate 10 i + c raises class c, the less the larger i is."""
    generator = torch.Generator().manual_seed(0)
    effect = 0.02 * torch.randn(100, 2, 50, 10, generator=generator)
    for label in range(10):
        for number in range(3):
            effect[:, TO_MAX, 10 * number + label, label] += 3.0 - number
            effect[:, TO_MIN, 10 * number + label, label] -= (3.0 - number) / 2
    change = torch.zeros(100, 2, 50)
    change[:, :, :10] = 1.0  # the strongest of each class changes D too
    return effects_of(effect, torch.arange(100) % 10, DIGITS, change)


def configured(root, **attfind):
    path = root / "config" / "experiments" / "mnist.yaml"
    content = yaml.safe_load(path.read_text())
    content["dataset"].pop("classes", None)
    content["attfind"] = {"threshold": 50.0, "max_attributes": 10} | attfind
    content["evaluation"] = {"sufficiency_k": [1]}
    path.write_text(yaml.safe_dump(content))
    return ExperimentPaths(root, "mnist")


def stage(root, effects, seen_as=None, **attfind):
    """Run the stage on these effects; `seen_as`: the classifier's decisions on the images themselves."""
    paths = configured(root, **attfind)
    with effects_writer(paths.effects(), effects.header, effects.discriminator_change is not None) as writer:
        for row, identity in enumerate(effects.ids):
            change = None if effects.discriminator_change is None else effects.discriminator_change[row]
            writer.add(identity, EffectsRow(effects.base_logits[row], effects.effect[row], change))
    if seen_as is not None:
        write_latents(paths.latents, latents_of(effects, seen_as))
    select(root, "mnist")
    return read_attributes(paths.attributes), read_json(paths.attributes.with_suffix(".provenance.json"))


@pytest.mark.parametrize("algorithm", ["paper", "notebook"])
@pytest.mark.parametrize("ranking", ["mean_effect", "image_fraction"])
@pytest.mark.parametrize("against", [None, "4"])
def test_ten_classes_with_every_option(root, algorithm, ranking, against):
    effects, seen_as = ten_classes(), torch.arange(100) % 10
    seen_as[:10] = (seen_as[:10] + 1) % 10  # ten images whose reconstruction is decided otherwise
    asked = {"algorithm": algorithm, "ranking": ranking, "against": against, "threshold": 0.5}
    asked |= {"discriminator_filter": 0.5, "unstable_filter": 0.5}
    found, origin = stage(root, effects, seen_as, **asked)
    assert set(found) == set(DIGITS) - {against}
    images = 9 if against == "4" else 81
    for label, name in enumerate(DIGITS):
        if name != against:
            # The strongest coordinate changes D; the next raises all images by 2 and explains them.
            first = found[name][0]
            assert (first.style_index, first.direction, first.images_explained) == (10 + label, TO_MAX, images)
            assert len(found[name]) == 1
            assert origin[f"search {name}"] == f"1 attributes of {images} images: every image is explained"
    assert {key: origin[key] for key in asked} == {key: str(value) for key, value in asked.items()}
    assert origin["unstable images"] == "10 of 100"
    assert (origin["max_attributes"], origin["engine"], origin["shift"]) == ("10", "exhaustive", "1.0")


def test_ten_classes_without_options(root):
    found, origin = stage(root, ten_classes())
    for label, name in enumerate(DIGITS):
        assert [a.style_index for a in found[name][:3]] == [label, 10 + label, 20 + label]
    assert origin["unstable_filter"] == origin["discriminator_filter"] == "None"
    assert (origin["algorithm"], origin["ranking"], origin["against"]) == ("paper", "mean_effect", "None")
    assert "unstable images" not in origin and "merged" not in origin


def test_two_hundred_classes():
    effect = torch.full((400, 2, 200, 200), -1.0, dtype=torch.float16)
    every = torch.arange(200)
    effect[:, TO_MAX, every, every] = 3.0
    effects = effects_of(effect, torch.arange(400) % 200, [f"class-{label:03d}" for label in range(200)])
    for target in (0, 99, 199):
        selection = select_attributes(effects, target, 2.0, 10)
        assert indices(selection) == [(target, TO_MAX)] and selection.images == 398
        alone = select_attributes(effects, target, 3.5, 10, against="class-007")
        assert indices(alone)[0] == (target, TO_MAX) and alone.images == 2


def test_merged_lists_of_the_stage(root):
    two = two_sided()
    effects = effects_of(two.effect, [1, 1, 0, 0], ("3", "5"))
    found, origin = stage(root, effects, algorithm="notebook", threshold=5.5)
    assert [a.style_index for a in found["3"]] == [a.style_index for a in found["5"]] == [1, 0, 2]
    assert origin["merged"].startswith("the lists of both classes")
    found, origin = stage(root, effects, algorithm="notebook", threshold=5.5, against="5")
    assert set(found) == {"3"} and "merged" not in origin


def test_sharded_effects_are_selected_from_as_one(root):
    effects = ten_classes()
    expected, _ = stage(root, effects)
    paths = configured(root, shards=2)
    for shard, rows in enumerate((range(37), range(37, 100))):
        with effects_writer(paths.effects(shard), effects.header) as writer:
            for row in rows:
                writer.add(effects.ids[row], EffectsRow(effects.base_logits[row], effects.effect[row]))
    select(root, "mnist")
    assert read_attributes(paths.attributes) == expected


@pytest.mark.parametrize("against", ["11", "eleven"])
def test_the_stage_refuses_an_unknown_class(root, against):
    with pytest.raises(ConfigError, match=f"attfind.against: unknown class '{against}'; choose one of 0, 1"):
        stage(root, ten_classes(), against=against)


def test_ten_garments_are_an_experiment(root):
    config = load_experiment(root, "fashion-mnist-10")
    assert config.dataset.classes is None and config.dataset.one_vs_rest is None
    assert config.attfind.algorithm == "paper" and config.attfind.against is None
