"""Where attributes act and what they do: against images one at a time, against a known generator, and the files."""

from dataclasses import replace
from math import isnan, nan

import numpy
import pytest
import torch
from torch import nn

from stylex.artifacts import load_tensors, read_json, read_table, save_tensors
from stylex.attfind.records import Attribute, Direction, map_name, mapped, read_maps, write_attributes
from stylex.classifiers import load_classifier, load_oracle
from stylex.config import backbone_paths, oracle_paths
from stylex.config.base import Protocol
from stylex.errors import ArtifactError
from stylex.evaluation.counterfactuals import Run
from stylex.evaluation.intervals import wilson_interval
from stylex.evaluation.maps import ALWAYS, COLUMNS, QUALITY, maps, moved_alone, numbers, smallest_area
from stylex.figures.catalog import ANIMATION_NAMES, TEASER_ATTRIBUTES
from stylex.latents.table import read_latents, write_latents
from stylex.networks.model import load_stylex
from stylex.quantization import quantized
from tests.builders import configure, latents_of, save_random_network, through_png

IMAGES = 60
DIGITS = tuple("0123456789")


@pytest.fixture
def run(root, small_experiment) -> Run:
    """An experiment on a small random network, with latents that spread and attributes of both classes."""
    run = small_experiment(root, evaluation={"figure_attributes": 2, "batch_size": 3, "oracle": "mnist-32"})
    random = torch.Generator().manual_seed(0)
    logits, w = torch.randn(IMAGES, 2, generator=random), 3 * torch.randn(IMAGES, 8, generator=random)
    styles = run.networks.synthesis.styles(run.networks.w_plus(w, logits))
    columns = {"styles": styles.space, "to_rgb_styles": styles.to_rgb, "reconstruction_logits": logits}
    latents = latents_of(IMAGES, labels=torch.arange(IMAGES) % 2, logits=logits, w=w, **columns)
    write_latents(run.paths.latents, latents)
    write_attributes(run.paths.attributes, [*MOVES, move("3", 6, 60)], {})
    oracle = oracle_paths(root, "mnist-32").model
    save_random_network(run.paths.classifier.model, "classifier", ("3", "5"), seed=0)
    save_random_network(backbone_paths(root, "mnist-32").model, "backbone", DIGITS, seed=1)
    save_random_network(oracle, "oracle", DIGITS, seed=2)
    images = run.images(latents.style_vector(torch.arange(IMAGES)))
    undecided(run.paths.classifier.model, load_classifier(run.paths.classifier.model), images, [0, 1])
    undecided(oracle, load_oracle(oracle, []), images, [3, 5, 8])
    return run


@torch.no_grad()
def undecided(path, network, images, classes):
    """Shift the biases so that a network prefers none of these classes, and says no other."""
    tensors, header = load_tensors(path)
    tensors["head.bias"] -= network(images).median(dim=0).values
    others = [label for label in range(len(tensors["head.bias"])) if label not in classes]
    tensors["head.bias"][others] -= 100
    save_tensors(path, tensors, header)


def move(target: str, rank: int, index: int, direction: Direction = Direction.TO_MAX) -> Attribute:
    return Attribute(target, rank, index, 0, index, direction, 1.0, 1)


# All that have a map: more than evaluation.figure_attributes, as the teaser shows more.
MOVES = [move("3", 1, 4), move("3", 2, 20, Direction.TO_MIN), *(move("3", rank, 10 * rank) for rank in (3, 4, 5))]
MOVES.append(move("5", 1, 4, Direction.TO_MIN))


def plain_images(run: Run, attribute: Attribute) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Render an image at a time; return what grey PNG files would hold before and after the move, [n, H, W] levels."""
    latents = read_latents(run.paths.latents).under(Protocol.HELD_OUT)
    synthesis = load_stylex(run.paths.stylex_model).synthesis
    synthesis.quantized = False  # levels are made here
    target, found = latents.class_names.index(attribute.target_class), []
    extreme = latents.styles[latents.searched][:, attribute.style_index]
    extreme = extreme.max() if attribute.direction == Direction.TO_MAX else extreme.min()
    for row in range(IMAGES):
        if not latents.measured[row] or latents.reconstruction_logits[row].argmax() == target:
            continue
        styles = latents.style_vector(torch.tensor([row]))
        moved = styles.space.clone()
        moved[0, attribute.style_index] += run.config.attfind.shift * (extreme - moved[0, attribute.style_index])
        with torch.no_grad():
            images = [synthesis.render(styles._replace(space=space))[0, 0] for space in (styles.space, moved)]
        found.append([numpy.clip(numpy.rint((each.numpy() + 1) * 127.5), 0, 255) for each in images])
    assert found
    before, after = zip(*found, strict=True)
    return numpy.stack(before), numpy.stack(after)


def plain_map(run: Run, attribute: Attribute) -> numpy.ndarray:
    """Take the mean of the differences of what two PNG files would hold."""
    before, after = plain_images(run, attribute)
    return numpy.abs(after - before).mean(axis=0) / 127.5


def test_a_map_is_the_mean_over_images_rendered_one_at_a_time(run, root):
    maps(root, "mnist", "cpu")
    files = [run.paths.maps, run.paths.map_numbers]
    assert set(load_tensors(run.paths.maps)[0]) == {map_name(each) for each in MOVES}
    table = read_table(run.paths.map_numbers)
    assert tuple(table) == COLUMNS and table["style_index"].tolist() == [4, 20, 30, 40, 50, 4]
    assert table["target_class"].tolist() == [*"33333", "5"] and set(table["protocol"]) == {"held_out"}
    for row, each, attribute in zip(table.to_dict("records"), read_maps(run.paths.maps, MOVES), MOVES, strict=True):
        expected = plain_map(run, attribute)
        assert each.shape == (32, 32) and 0 < each.max() <= 2
        away = numpy.abs(each.numpy() - expected)  # rendered in another batch, a pixel may be rounded to the next level
        assert away.max() < 2 / 255 and (away < 1e-4).mean() > 0.99
        assert row["mean_change"] == pytest.approx(expected.mean(), rel=1e-3)
    latents = run.latents
    decided = latents.reconstruction_logits[latents.measured].argmax(1).bincount(minlength=2).tolist()
    assert table["n"].tolist() == [decided[1]] * 5 + [decided[0]] and sum(decided) == IMAGES // 2
    digest = run.config.digest()
    assert load_tensors(run.paths.maps)[1]["config_digest"] == digest
    assert read_json(run.paths.map_numbers.with_suffix(".provenance.json"))["config_digest"] == digest
    with pytest.raises(ArtifactError, match=r"attribute_maps\.safetensors has no map of the move '4 to_min 3'; run"):
        read_maps(run.paths.maps, [move("3", 1, 4, Direction.TO_MIN)])
    before = [path.read_bytes() for path in files]
    maps(root, "mnist", "cpu")
    assert [path.read_bytes() for path in files] == before


def test_what_an_attribute_does_alone_is_counted_from_files(run, root, tmp_path):
    maps(root, "mnist", "cpu")
    classifier, oracle = (
        load_classifier(run.paths.classifier.model),
        load_oracle(oracle_paths(root, "mnist-32").model, []),
    )
    counts = []
    for row, attribute in zip(read_table(run.paths.map_numbers).to_dict("records"), MOVES, strict=True):
        images = through_png(plain_images(run, attribute)[1] / 127.5 - 1, tmp_path / "images")
        with torch.no_grad():
            flipped = classifier(images).argmax(1) == ("3", "5").index(attribute.target_class)
            agreed = flipped & (oracle(images).argmax(1) == int(attribute.target_class))
        for count, name, found in (("flipped", "validity", flipped), ("agreed", "agreement", agreed)):
            total = int(found.sum())
            interval = pytest.approx(wilson_interval(total, row["n"]))
            assert (row[count], row[name]) == (total, total / row["n"])
            assert (row[f"{name}_low"], row[f"{name}_high"]) == interval
        assert len(images) == row["n"]
        counts += [row["flipped"], row["agreed"]]
    assert all(0 < count < IMAGES // 2 for count in counts) and counts[0] > counts[1]
    assert max(TEASER_ATTRIBUTES, len(ANIMATION_NAMES)) <= ALWAYS


def test_without_an_oracle_its_columns_are_empty_and_one_of_the_loss_is_refused(run, root):
    path = oracle_paths(root, "mnist-32").model
    save_random_network(path, "oracle", DIGITS, seed=1)
    with pytest.raises(
        ArtifactError, match=r"oracles/mnist-32/model.safetensors has the weights of .*backbones/mnist-32"
    ):
        maps(root, "mnist", "cpu")
    path.unlink()
    configure(root, "mnist", evaluation={"figure_attributes": 2, "oracle": None})
    maps(root, "mnist", "cpu")
    table = read_table(run.paths.map_numbers)
    assert table[QUALITY[4:]].isna().all(axis=None) and table[QUALITY[:4]].notna().all(axis=None)


def test_a_class_with_nothing_to_move_has_a_map_of_nothing(run, root):
    decided = torch.tensor([[1.0, 0.0]]).repeat(IMAGES, 1)
    write_latents(run.paths.latents, replace(read_latents(run.paths.latents), reconstruction_logits=decided))
    maps(root, "mnist", "cpu")
    table = read_table(run.paths.map_numbers).set_index("target_class")
    assert table.loc["3", "n"].tolist() == [0] * 5 and table.loc["5", "n"] == IMAGES // 2
    assert table.loc["3", ["flipped", "agreed"]].eq(0).all(axis=None) and table.loc["3", "validity"].isna().all()
    assert table.loc["3", ["mean_change", "area_90", "centre_x", "centre_y"]].isna().all(axis=None)
    assert read_maps(run.paths.maps, [move("3", 1, 4)])[0].isnan().all()
    write_attributes(run.paths.attributes, [], {})
    maps(root, "mnist", "cpu")
    assert load_tensors(run.paths.maps)[0] == {} and tuple(read_table(run.paths.map_numbers)) == COLUMNS


class Block(nn.Module):
    """A generator of grey images: coordinate 0 is the level of rows 2 and 3, columns 4 to 7; coordinate 1 of all."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def render(self, styles):
        images = styles.space[:, 1, None, None, None].repeat(1, self.channels, 32, 32)
        images[:, 0, 2:4, 4:8] += styles.space[:, 0, None, None]
        return quantized(images)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_block_that_a_coordinate_changes_is_found(fake_run, channels):
    styles = torch.tensor([[0.0, 0.0], [0.5, 0.0], [0.25, 0.0], [0.5, 0.5]])
    latents, run = latents_of(4, styles=styles), fake_run(synthesis=Block(channels), shift=1.0)
    # To its maximum 0.5, from 0, 0.25 and 0.5: by 0.25 on average, in one channel.
    found = moved_alone(run, latents, torch.tensor([0, 2, 3]), move("5", 1, 0), {})[0]
    expected = numpy.zeros((32, 32))
    expected[2:4, 4:8] = 0.25 / channels
    assert numpy.abs(found.numpy() - expected).max() < 1 / 127.5
    assert not found[expected == 0].any()
    row = numbers(found)
    assert row["area_90"] == 8 / 1024 and row["mean_change"] == pytest.approx(0.25 / channels * 8 / 1024, abs=1e-4)
    assert (row["centre_x"], row["centre_y"]) == pytest.approx((6 / 32, 3 / 32))
    everywhere = numbers(moved_alone(run, latents, torch.tensor([0, 2]), move("5", 1, 1), {})[0])
    assert (everywhere["centre_x"], everywhere["centre_y"]) == pytest.approx((0.5, 0.5), abs=1e-3)
    assert everywhere["mean_change"] == pytest.approx(0.5, abs=1 / 127.5)
    assert everywhere["area_90"] == pytest.approx(0.9, abs=1 / 1024)


def test_the_smallest_area_by_hand():
    each = torch.tensor([[6.0, 0.0, 1.0], [0.0, 2.0, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    areas = [smallest_area(each, part) for part in (0.5, 0.6, 0.61, 0.9, 1.0)]
    assert areas == pytest.approx([1 / 9, 1 / 9, 2 / 9, 3 / 9, 4 / 9])
    assert smallest_area(torch.full((10, 10), 0.1, dtype=torch.float64), 0.9) == 0.9


@pytest.mark.parametrize("value", [0.0, nan])
def test_what_changes_nothing_lies_nowhere(value):
    row = numbers(torch.full((4, 4), value, dtype=torch.float64))
    assert isnan(row["mean_change"]) == isnan(value)
    assert all(isnan(row[name]) for name in ("area_90", "centre_x", "centre_y"))


def test_all_that_a_figure_may_show_has_a_map():
    both = [move("3", 1, 7), move("3", 2, 7, Direction.TO_MIN), move("3", 3, 8), move("3", 4, 9)]
    assert mapped(both, 2) == both[:3] and mapped(both, 1) == both[:2] and mapped(both, 9) == both
    assert map_name(both[1]) == "7 to_min 3"
