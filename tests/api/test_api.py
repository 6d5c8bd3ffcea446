"""The Python API, on an export that lies where there is no project."""

import doctest
import itertools
import subprocess
import sys
from statistics import median_low

import numpy
import pandas
import pytest
import torch
from PIL import Image

import stylex
from stylex import api
from stylex.artifacts import read_json
from stylex.attfind.engine import every_move, logits_of_moves, targets_of
from stylex.classifiers import load_classifier
from stylex.cli import main
from stylex.config import experiment_paths
from stylex.errors import ArtifactError, AttributesNotFoundError, ConfigError, ImageError
from stylex.latents.table import read_latents
from stylex.networks.model import load_stylex
from stylex.networks.stylespace import StyleVector
from stylex.quantization import from_uint8

NAME = "mnist"
LEVEL = 1.01 / 127.5  # a level of a byte: by the rounding of a batch, a pixel may be the next one


@pytest.fixture(scope="session")
def of_experiment(project):
    return stylex.load(project / "results/experiments" / NAME)


@pytest.fixture
def pixels(digit):
    with Image.open(digit) as image:
        return numpy.asarray(image)


def equal(one, two):
    return torch.equal(one.tensors, two.tensors) and one.records == two.records and one.target == two.target


def alike(one, two):
    """The same, of other images beside it: up to the rounding of a batch."""
    places = [[(step.style_index, step.direction) for step in each.records] for each in (one, two)]
    near = torch.allclose(one.tensors, two.tensors, atol=LEVEL) and torch.allclose(one.logits, two.logits, atol=1e-4)
    return near and places[0] == places[1] and one.target == two.target


@pytest.mark.parametrize(
    ("used", "absent"),
    [
        ("stylex.__version__", {"torch", "pandas", "numpy", "yaml"}),
        ("stylex.load", {"matplotlib", "torchvision", "torch._dynamo", "scipy.optimize", "lpips", "timm"}),
    ],
)
def test_nothing_is_imported_before_it_is_needed(used, absent):
    script = f"import sys, stylex; {used}; print({absent} & sys.modules.keys())"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout == "set()\n"


def test_a_name_that_the_package_lacks_is_an_error():
    assert set(stylex.__all__) <= set(dir(stylex))
    with pytest.raises(AttributeError, match="no attribute 'laod'"):
        _ = stylex.laod


def test_what_the_docstrings_show_is_so(folder, digit):
    names = {"stylex": stylex, "torch": torch, "folder": folder, "image": digit}
    names["explainer"] = stylex.load(folder)
    runner, tests = doctest.DocTestRunner(), doctest.DocTestFinder().find(api, globs=names)
    for test in tests:
        runner.run(test)
    results = runner.summarize()
    assert results.failed == 0 and results.attempted >= 12


def test_an_export_explains_as_its_experiment_does(explainer, of_experiment, latents, prepared):
    files = [prepared(latents.ids[row], f"{row}.png") for row in range(4)]
    for method in ("subset", "independent"):
        for one, two in zip(*(each.explain(files, method=method) for each in (explainer, of_experiment)), strict=True):
            assert equal(one, two) and torch.equal(one.logits, two.logits)
    pandas.testing.assert_frame_equal(explainer.attributes, of_experiment.attributes)
    assert explainer.class_names == of_experiment.class_names == ("3", "5")
    assert explainer.shift == of_experiment.shift == 2.0


def test_an_image_in_any_form_is_explained_as_its_file(explainer, digit, pixels):
    expected = explainer.explain(digit)
    with Image.open(digit) as opened:
        forms = [
            str(digit), opened, pixels, pixels[..., None], numpy.repeat(pixels[..., None], 3, axis=2),
            from_uint8(torch.from_numpy(pixels.copy()))[None],
        ]  # fmt: skip
        for form in forms:
            assert equal(explainer.explain(form), expected)
        several = explainer.explain(forms)
    assert [each.image for each in several] == [str(digit), *(f"image {number}" for number in range(1, 6))]
    assert all(alike(each, expected) for each in several)
    batch = numpy.stack([pixels] * 2)[..., None]
    for images in (batch, from_uint8(torch.from_numpy(batch).permute(0, 3, 1, 2))):
        assert [alike(each, expected) for each in explainer.explain(images)] == [True, True]


def test_a_downloaded_digit_gets_its_margin_and_a_photograph_its_upright_square(explainer, pixels, tmp_path):
    inner = pixels[2:-2, 2:-2]
    assert inner.shape == (28, 28) and pixels.sum() == inner.sum()
    assert torch.equal(explainer.encode(inner).space, explainer.encode(pixels).space)
    wide = Image.fromarray(numpy.pad(numpy.rot90(pixels), ((0, 0), (10, 10)), constant_values=255))
    exif = wide.getexif()
    exif[0x0112] = 6  # to be turned by 90 degrees to the right
    wide.save(tmp_path / "photo.png", exif=exif)
    with Image.open(tmp_path / "photo.png") as opened:
        for photo in (tmp_path / "photo.png", opened):
            assert torch.equal(explainer.encode(photo).space, explainer.encode(pixels).space)


def test_what_an_explanation_says_is_what_the_networks_say(explainer, project, latents, digit, pixels):
    found = explainer.explain(digit)
    networks = load_stylex(experiment_paths(project, NAME).stylex_model)
    classifier = load_classifier(experiment_paths(project, NAME).classifier.model)
    logits = classifier(found.tensors)
    assert torch.allclose(logits, found.logits, atol=1e-5)
    answers = logits.softmax(dim=1)
    assert numpy.allclose(found.probabilities.to_numpy(), answers.numpy(), atol=1e-5)
    assert list(found.probabilities.index) == ["original", "reconstruction", *found.steps["step"]]
    after = found.probabilities.loc[list(found.steps["step"]), found.target]
    assert numpy.allclose(after, found.steps["probability_after"], atol=1e-5)
    assert found.flipped == bool((logits[2:].argmax(dim=1) == found.label).any())
    # The images: the file, and G of the styles in the latents, with the coordinates of the steps so far moved.
    assert numpy.array_equal(numpy.asarray(found.images[0]), pixels)
    moves = [(int(step.style_index), int(step.direction)) for step in found.records]
    searched = latents.under("held_out")
    for count in range(len(moves) + 1):
        image = networks.synthesis.render(searched.moved(torch.tensor([0]), moves[:count], 2.0))
        assert torch.allclose(found.tensors[1 + count], image[0], atol=LEVEL)
    assert torch.allclose(explainer.reconstruct(digit)[0], found.tensors[1], atol=LEVEL)


def test_a_move_by_the_shift_of_explanations_is_a_step_and_by_none_the_reconstruction(explainer, digit):
    found = explainer.explain(digit, method="independent", attributes=3)
    for number, step in enumerate(found.records):
        moved = explainer.move(digit, (step.style_index, step.direction.label))
        assert torch.allclose(moved.tensor, found.tensors[2 + number], atol=LEVEL)
        assert moved.probabilities[found.target] == pytest.approx(step.probability_after, abs=1e-4)
    assert moved.image.size == (32, 32)
    still = explainer.move(digit, (0, "to_min"), shift=0.0)
    assert torch.allclose(still.tensor, found.tensors[1], atol=LEVEL)


def test_an_attribute_is_named_by_its_row_its_rank_or_its_coordinate(explainer, digit):
    table = explainer.attributes
    row = table[(table["target_class"] == "5") & (table["rank"] == 1)].iloc[0]
    by_row, by_rank, by_place = (
        explainer.move(digit, attribute, shift=0.7)
        for attribute in (row, ("5", 1), (int(row["style_index"]), row["direction"]))
    )
    assert torch.equal(by_row.tensor, by_rank.tensor) and torch.equal(by_row.tensor, by_place.tensor)
    styles = explainer.encode(digit)
    extreme = explainer._source.extremes[int(row["direction"] == "to_max"), row["style_index"]]
    styles.space[0, row["style_index"]] += 0.7 * (extreme - styles.space[0, row["style_index"]])
    assert torch.equal(explainer.render(styles)[0], by_row.tensor)
    for wrong in (("5", 999), ("7", 1), (56, "to_max"), (0, "up")):
        with pytest.raises(ConfigError, match="attribute"):
            explainer.move(digit, wrong)


def test_figure_files_and_notebook(explainer, folder, digit, tmp_path, monkeypatch):
    found = explainer.explain(digit)
    assert found.figure().get_size_inches()[0] > 1
    found.save(tmp_path / "api.png")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["explain", str(folder), str(digit), "--device", "cpu"])
    assert ended.value.code == 0
    assert (tmp_path / "explanations/digit.png").read_bytes() == (tmp_path / "api.png").read_bytes()
    assert read_json(tmp_path / "explanations/digit.json") == read_json(tmp_path / "api.json")
    assert {"experiment", "image", "steps", "provenance"} < read_json(tmp_path / "api.json").keys()
    page = found._repr_html_()
    assert page.count("<img ") == 1 and page.count("<tr") == 1 + len(found.steps) and str(digit) in page
    assert found._repr_png_().startswith(b"\x89PNG")
    assert repr(found) == found.summary()
    with pytest.raises(ConfigError, match=r"name a file that ends in \.png"):
        found.save(tmp_path / "api.jpg")


def test_mistakes_are_named(explainer, digit, tmp_path):
    decision = explainer.explain(digit).predicted
    mistakes = {
        "unknown class '55'; did you mean '5'": lambda: explainer.explain(digit, target="55"),
        f"already says '{decision}'": lambda: explainer.explain(digit, target=decision),
        "unknown method 'subsets'; did you mean 'subset'": lambda: explainer.explain(digit, method="subsets"),
        "attributes = 0": lambda: explainer.explain(digit, attributes=0),
        "no image is given": lambda: explainer.explain([]),
        "none.png does not exist": lambda: explainer.explain(tmp_path / "none.png"),
        r"values outside of \[-1, 1\]": lambda: explainer.encode(torch.full((1, 8, 8), 2.0)),
        r"a tensor torch.uint8 \[1, 8, 8\]": lambda: explainer.encode(torch.zeros(1, 8, 8, dtype=torch.uint8)),
        r"an array float64 \[8, 8\]": lambda: explainer.encode(numpy.zeros((8, 8))),
        r"an array uint8 \[8, 8, 2\]": lambda: explainer.encode(numpy.zeros((8, 8, 2), numpy.uint8)),
        "mode F have no fixed range": lambda: explainer.encode(Image.new("F", (8, 8))),
        "int is no image": lambda: explainer.encode([7]),
        "is no export, as it has no explainer.json": lambda: stylex.load(tmp_path),
    }
    for message, call in mistakes.items():
        with pytest.raises((ArtifactError, ConfigError, ImageError), match=message):
            call()


def test_an_image_that_nothing_turns_is_named(project, digit, monkeypatch):
    monkeypatch.setenv("STYLEX_OVERRIDES", '{"attfind": {"shift": 1e-30}}')  # in float32 nothing moves
    explainer = stylex.load(project / "results/experiments" / NAME)
    with pytest.raises(AttributesNotFoundError, match=f"{digit}: no style coordinate brings it nearer"):
        explainer.explain(digit)


def algorithm_1(render, classifier, styles, target, shift, most, threshold):
    """Lang et al. 2021, Algorithm 1, one image and one move at a time."""
    low, high = styles.min(dim=0).values, styles.max(dim=0).values
    base = classifier(render(styles))
    left = [row for row in range(len(styles)) if int(base[row].argmax()) != target]
    size, found, used = styles.shape[1], [], set()

    def effect(row, index, direction):
        moved = styles[row : row + 1].clone()
        moved[0, index] += shift * ((low, high)[direction][index] - moved[0, index])
        return float(classifier(render(moved))[0, target] - base[row, target])

    while left and len(found) < most:
        means = {
            (index, direction): sum(effect(row, index, direction) for row in left) / len(left)
            for index, direction in itertools.product(range(size), range(2))
            if index not in used
        }
        fair = {
            move: mean for move, mean in means.items() if mean > 0 and not (means[move[0], 1 - move[1]] > 0)
        }  # raised in one direction only
        if not fair:
            break
        best = max(fair, key=fair.__getitem__)
        found.append((*best, fair[best]))
        used.add(best[0])
        left = [row for row in left if effect(row, *best) <= threshold]
    return found


@pytest.fixture(scope="module")
def foreign():
    """A generator and a classifier that know nothing of ours: float64 vectors, and tanh of their mixtures."""
    random = torch.Generator().manual_seed(3)
    mixing, reading = (torch.randn(shape, generator=random, dtype=torch.float64) for shape in ((6, 9), (9, 3)))
    styles = torch.randn(11, 6, generator=random, dtype=torch.float64)
    return (lambda s: torch.tanh(s @ mixing)), (lambda images: images @ reading), styles


@pytest.mark.parametrize(("threshold", "batch_size"), [(1.5, 7), (100.0, 1000), (None, 64)])
def test_attributes_of_another_generator_are_those_of_algorithm_1(foreign, threshold, batch_size):
    render, classifier, styles = foreign
    options = {"shift": 0.8, "max_attributes": 4, "threshold": threshold, "batch_size": batch_size}
    table = stylex.find_attributes(render, classifier, styles, class_names=["a", "b", "c"], **options)
    if threshold is None:
        ordered = classifier(render(styles)).sort(dim=1).values
        threshold = 2 * median_low((ordered[:, -1] - ordered[:, -2]).tolist())
    for label, name in enumerate("abc"):
        expected = algorithm_1(render, classifier, styles, label, 0.8, 4, threshold)
        rows = table[table["target_class"] == name]
        directions = [("to_min", "to_max")[direction] for _, direction, _ in expected]
        assert rows["style_index"].tolist() == [index for index, _, _ in expected]
        assert rows["direction"].tolist() == directions
        assert rows["mean_effect"].tolist() == pytest.approx([mean for _, _, mean in expected], abs=1e-5)
    assert len(table) >= 6 and list(table.columns) == [
        "target_class", "rank", "style_index", "direction", "mean_effect", "images_explained"
    ]  # fmt: skip


def test_of_our_own_generator_it_finds_what_the_engine_finds(project):
    """The engine shares the layers below a move and renders no image twice."""
    latents = read_latents(experiment_paths(project, NAME).latents).under("held_out")
    space, to_rgb = latents.style_vector(torch.nonzero(latents.searched).flatten())
    to_rgb = to_rgb[:1].expand(len(space), -1)
    synthesis = load_stylex(experiment_paths(project, NAME).stylex_model).synthesis
    classifier = load_classifier(experiment_paths(project, NAME).classifier.model)
    targets = targets_of(space, latents.extremes, 2.0)
    base = classifier(synthesis.render(StyleVector(space, to_rgb)))
    moved = logits_of_moves(synthesis, classifier, StyleVector(space, to_rgb), every_move(targets), 64)
    effect = moved.reshape(*targets.shape, 2) - base[:, None, None]
    table = stylex.find_attributes(
        lambda styles: synthesis.render(StyleVector(styles, to_rgb[:1].expand(len(styles), -1))),
        classifier, space, class_names=("3", "5"), extremes=latents.extremes, shift=2.0, max_attributes=1,
    )  # fmt: skip
    for label, name in enumerate(("3", "5")):
        mean = effect[base.argmax(dim=1) != label][..., label].mean(dim=0)
        mean = mean.masked_fill((mean > 0).all(dim=0), -torch.inf)
        (row,) = table[table["target_class"] == name].to_dict("records")
        found = mean[int(row["direction"] == "to_max"), row["style_index"]]
        assert float(found) == pytest.approx(float(mean.max()), abs=1e-5)
        assert row["mean_effect"] == pytest.approx(float(found), abs=1e-5)


def test_mistakes_with_another_generator_are_named(foreign):
    render, classifier, styles = foreign
    wrong = {
        r"styles: torch.int64 \[3, 4\]": lambda: stylex.find_attributes(render, classifier, torch.zeros(3, 4).long()),
        r"styles: torch.float32 \[4\]": lambda: stylex.find_attributes(render, classifier, torch.zeros(4)),
        r"extremes: \[6\]": lambda: stylex.find_attributes(render, classifier, styles, extremes=styles[0]),
        "class_names has 2 names": lambda: stylex.find_attributes(render, classifier, styles, class_names=["a", "b"]),
        "shift = -1": lambda: stylex.find_attributes(render, classifier, styles, shift=-1),
        "'d'": lambda: stylex.find_attributes(render, classifier, styles, against="d"),
        r"classifier: \[11\] for 11 images": lambda: stylex.find_attributes(render, lambda x: x.sum(1), styles),
        "not all finite": lambda: stylex.find_attributes(render, lambda x: x / 0, styles),
    }
    for message, call in wrong.items():
        with pytest.raises(ConfigError, match=message):
            call()
    with pytest.raises(AttributesNotFoundError, match="no move raises any class"):
        stylex.find_attributes(render, lambda images: torch.tensor([[1.0, 0.0]]).repeat(len(images), 1), styles)
