"""Counterfactuals of every method on small random networks: what the files say is counted again from the renders.

The networks, the images and the stages before are real; random networks only answer as chance has it. COUT, distances
and summaries are compared with plain second implementations and cases worked out by hand.
"""

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy
import pyarrow
import pytest
import torch
import yaml
from scipy.linalg import sqrtm

from stylex.artifacts import load_tensors, read_json, read_table, save_tensors, sha256, write_json
from stylex.attfind import effects, selection
from stylex.attfind.explanations import Explainer
from stylex.attfind.records import Method, read_attributes, write_attributes
from stylex.classifiers import load_backbone, load_oracle, perceptual_distance
from stylex.config import DatasetPaths, backbone_paths, experiment_paths, load_experiment, oracle_paths
from stylex.errors import ArtifactError, AttributesNotFoundError
from stylex.evaluation import methods
from stylex.evaluation.baselines import ganalyze
from stylex.evaluation.counterfactuals import Run, images_to_turn
from stylex.evaluation.intervals import bootstrap, wilson_interval
from stylex.evaluation.maps import change_ranks, pixel_change
from stylex.evaluation.quality import (
    FEWEST,
    SUMMARY_COLUMNS,
    Features,
    counterfactuals,
    distances,
    frechet_of_halves,
    in_first_half,
    mean_distances,
    of_images,
    summaries,
    transition_areas,
)
from stylex.latents.encode import encode
from tests.builders import balance, save_random_network, through_png

CONFIG = Path(__file__).parents[2] / "config"
DIGITS = tuple("0123456789")
TINY = {
    "extends": "mnist",
    "attfind": {
        "images": 48, "max_attributes": 4, "threshold": 1000.0, "precision": "float32", "batch_size": 128,
        "protocols": ["held_out", "same_images"],
    },
    "evaluation": {
        "sufficiency_k": [1], "frechet_attributes": 1, "ganalyze": {"steps": 5}, "counterfactual_searches": 5,
        "counterfactual_diversity": 3, "counterfactual_lists": 2, "batch_size": 10,
        "baselines": {"latent_steps": 8, "pixel_levels": 6, "ganalyze_steps": 4},
    },
}  # fmt: skip
METHODS = {"stylex", "random", "subset", "independent", "latent", "ganalyze", "condition", "pixel"}


def write_split(root):
    """Write 60 random images, of all digits, as a prepared dataset has them."""
    labels = [[3, 5, 8][row % 3] for row in range(90)]
    pixels = numpy.random.default_rng(0).integers(0, 256, (len(labels), 1, 32, 32), numpy.uint8)
    columns = {
        "image": pyarrow.FixedShapeTensorArray.from_numpy_ndarray(pixels),
        "label": pyarrow.array(labels),
        "id": pyarrow.array([f"digit-{row:03d}" for row in range(len(labels))]),
    }
    batch, manifest = pyarrow.record_batch(columns), DatasetPaths(root, "mnist").manifest(32)
    manifest.parent.mkdir(parents=True)
    file = manifest.parent / "test-00000.arrow"
    with pyarrow.ipc.new_file(str(file), batch.schema) as writer:
        writer.write_batch(batch)
    shards = {"test": [{"file": file.name, "bytes": file.stat().st_size, "sha256": sha256(file)}]}
    write_json(manifest, {"class_names": list(DIGITS), "channels": 1, "resolution": 32, "shards": shards})


@pytest.fixture(scope="module")
def project(tmp_path_factory, small_experiment):
    """A project in which the verb has run. Tests must not change it."""
    root = tmp_path_factory.mktemp("counterfactuals")
    shutil.copytree(CONFIG, root / "config")
    (root / "config/experiments/tiny.yaml").write_text(yaml.safe_dump(TINY))
    write_split(root)
    run = small_experiment(root, "tiny")
    save_random_network(run.paths.classifier.model, "classifier", ("3", "5"), seed=0)
    save_random_network(backbone_paths(root, "mnist-32").model, "backbone", DIGITS, seed=1)
    save_random_network(oracle_paths(root, "mnist-32").model, "oracle", DIGITS, seed=2)
    encode(root, "tiny", "cpu")
    balance(run.paths)
    encode(root, "tiny", "cpu")
    for protocol in run.config.attfind.protocols:
        effects.compute_effects(root, "tiny", "cpu", protocol=protocol)
        try:
            selection.select(root, "tiny", protocol)
        except AttributesNotFoundError:
            write_attributes(run.attribute_files(protocol)["stylex"], [], {})
    ganalyze(root, "tiny", "cpu")
    counterfactuals(root, "tiny", "cpu")
    return root


@pytest.fixture(scope="module")
def loaded(project):
    run = Run.load(project, "tiny")
    images, rows = (read_table(path) for path in (run.paths.counterfactual_images, run.paths.counterfactuals))
    return SimpleNamespace(run=run, latents=run.latents, images=images, rows=rows, classifier=run.classifier)


def decided(classifier, images, folder):
    """The classifier's decisions on images that were written as PNG and read again."""
    pixels = through_png(images[:, 0].numpy(), folder)
    assert (pixels - images).abs().max() < 1e-6, "what is judged is what the file holds"
    with torch.no_grad():
        return torch.cat([classifier(image[None]) for image in pixels]).argmax(dim=1)


def of(frame, **values):
    for key, value in values.items():
        frame = frame[frame[key] == value]
    return frame


def test_every_method_has_rows_of_every_class(loaded):
    main = of(loaded.rows, protocol="held_out")
    assert set(main["method"]) == METHODS and set(loaded.rows["protocol"]) == {"held_out", "same_images"}
    for _, part in main.groupby("method"):
        assert part["target_class"].tolist() == ["3", "5", "*"]
    assert (loaded.rows["n"] > 0).all() and set(loaded.images["oracle"]) <= set(DIGITS)
    pooled = of(main, target_class="*").set_index("method")["n"]
    assert pooled["random"] == 2 * pooled["stylex"]


def test_rows_are_counted_from_the_images_again_with_plain_loops(loaded):
    for row in loaded.rows.to_dict("records"):
        images = of(loaded.images, method=row["method"], protocol=row["protocol"])
        if row["target_class"] != "*":
            images = of(images, target_class=row["target_class"])
        flipped = agreed = neither = moves = counted = 0
        for image in images.to_dict("records"):
            flipped += image["flipped"]
            agreed += image["flipped"] and image["oracle"] == image["target_class"]
            neither += image["oracle"] not in ("3", "5")
            if image["first_k"] == image["first_k"]:
                moves, counted = moves + image["first_k"], counted + 1
        n = len(images)
        assert (row["n"], row["flipped"], row["agreed"]) == (n, flipped, agreed)
        assert row["validity"] == pytest.approx(flipped / n) and row["neither"] == pytest.approx(neither / n)
        assert row["validity_low"] <= row["validity"] <= row["validity_high"]
        assert row["agreement"] == pytest.approx(agreed / n)
        assert row["agreement_low"] <= row["agreement"] <= row["agreement_high"]
        assert numpy.isnan(row["sparsity"]) if counted == 0 else row["sparsity"] == pytest.approx(moves / counted)
        for name in ("l1", "perceptual", "cout"):
            assert row[name] == pytest.approx(images[name].mean(), abs=1e-6)


def test_the_list_is_moved_until_the_flip_and_its_images_measured_one_by_one(loaded, project, tmp_path):
    latents = loaded.latents
    attributes = read_attributes(loaded.run.paths.attributes)
    oracle = load_oracle(oracle_paths(project, "mnist-32").model, [])
    backbone = load_backbone(backbone_paths(project, "mnist-32").model)
    for target in ("3", "5"):
        written = of(loaded.images, method="stylex", protocol="held_out", target_class=target).set_index("id")
        rows = images_to_turn(latents, target, None)
        assert sorted(written.index) == sorted(latents.ids[row] for row in rows)
        for row in rows[:4]:
            one, found = row[None], attributes.get(target, [])
            before = loaded.run.images(latents.style_vector(one))
            images = [loaded.run.images(loaded.run.moved(latents, one, found[:k])) for k in range(len(found) + 1)]
            answers = decided(loaded.classifier, torch.cat(images), tmp_path / target) == ("3", "5").index(target)
            first = next((k for k, answer in enumerate(answers.tolist()) if answer), 0)
            row_of, after = written.loc[latents.ids[row]], images[first or len(found)]
            assert row_of["flipped"] == bool(first) and (
                row_of["first_k"] == first or (first == 0 and numpy.isnan(row_of["first_k"]))
            )
            # Rendered in another batch, some pixel may be rounded to the next of 255 levels.
            assert row_of["l1"] == pytest.approx(numpy.abs((after - before).numpy()).mean(), abs=4 * (2 / 255) / 32**2)
            distance = perceptual_distance(backbone.features(before), backbone.features(after))
            assert row_of["perceptual"] == pytest.approx(distance.item(), rel=1e-3)
            with torch.no_grad():
                assert row_of["oracle"] == DIGITS[oracle(after).argmax()]


@pytest.mark.parametrize("name", ["latent", "ganalyze", "condition", "pixel"])
def test_a_baseline_flips_what_it_says(loaded, tmp_path, name):
    for target in ("3", "5"):
        rows = images_to_turn(loaded.latents, target, None)
        (turned,) = getattr(methods, name)(loaded.run, loaded.latents, rows, target)
        flipped = decided(loaded.classifier, turned.images, tmp_path / target) == ("3", "5").index(target)
        written = of(loaded.images, method=name, protocol="held_out", target_class=target)
        assert written["id"].tolist() == [loaded.latents.ids[row] for row in rows]
        assert written["flipped"].tolist() == flipped.tolist()
        assert written["first_k"].isna().all()


def test_baselines_flip_something_here(loaded):
    """Or the test before would say nothing."""
    flips = of(loaded.rows, protocol="held_out", target_class="*").set_index("method")["flipped"]
    assert flips["pixel"] > 0 and flips["latent"] > 0


def test_a_pixel_step_is_the_smallest_that_flips_and_no_larger_than_said(loaded):
    rows, levels = images_to_turn(loaded.latents, "3", None), loaded.run.config.evaluation.baselines.pixel_levels
    before = loaded.run.images(loaded.latents.style_vector(rows))
    after = methods.pixel(loaded.run, loaded.latents, rows, "3")[0].images
    size = ((after - before).abs() * 127.5).round().flatten(1).amax(dim=1)
    assert size.max() <= levels and size.min() >= 1
    for fewer in range(1, levels):
        options = loaded.run.config.evaluation.baselines.model_copy(update={"pixel_levels": fewer})
        evaluation = loaded.run.config.evaluation.model_copy(update={"baselines": options})
        run = replace(loaded.run, config=loaded.run.config.model_copy(update={"evaluation": evaluation}))
        shorter = methods.pixel(run, loaded.latents, rows, "3")[0].images
        with torch.no_grad():
            assert not (loaded.classifier(shorter).argmax(dim=1) == 0)[size > fewer].any()


def test_the_condition_is_that_of_reconstructions_of_the_class_and_w_stays(loaded):
    latents, networks = loaded.latents, loaded.run.networks
    rows = images_to_turn(latents, "5", None)
    chosen = [
        row
        for row in range(len(latents.ids))
        if latents.searched[row] and latents.reconstruction_logits[row].argmax() == 1
    ]
    mean = sum(latents.reconstruction_logits[row] for row in chosen) / len(chosen)
    (turned,) = methods.condition(loaded.run, latents, rows, "5")
    one = networks.synthesis.render(networks.synthesis.styles(networks.w_plus(latents.w[rows[:1]], mean[None])))
    assert (turned.images[:1] - one).abs().max() <= 2 / 255 + 1e-6  # a level, where rounding falls the other way


def test_explanations_that_are_compared_share_no_coordinate(loaded, monkeypatch):
    explained = []
    explain = Explainer.explain

    def recorded(self, styles, *arguments, **options):
        explained.append((styles.space.clone(), explain(self, styles, *arguments, **options)))
        return explained[-1][1]

    monkeypatch.setattr(Explainer, "explain", recorded)
    rows = images_to_turn(loaded.latents, "3", None)
    (turned,) = methods.Explanations(loaded.run, loaded.latents).turn(Method.SUBSET, rows, "3")
    used = {}
    for styles, found in explained:
        for image, steps in zip(styles, found, strict=True):
            coordinates = {step.style_index for step in steps}
            seen = used.setdefault(tuple(image.tolist()), set())
            assert not seen & coordinates
            seen |= coordinates
    assert len(used) == len(turned.rows) == 5 and 1 < len(explained) <= 3
    assert all(len(found) <= 3 for _, found in explained[1:]) and turned.diversity.isnan().sum() >= 2
    known = turned.diversity[~turned.diversity.isnan()]
    assert len(known) and (known > 0).all()


def test_provenance_names_three_different_files(loaded, project):
    for table in (loaded.run.paths.counterfactuals, loaded.run.paths.counterfactual_images):
        origin = read_json(table.with_suffix(".provenance.json"))
        digests = [origin[f"{role}_sha256"] for role in ("classifier", "backbone", "oracle")]
        assert len(set(digests)) == 3
        assert digests[2] == sha256(oracle_paths(project, "mnist-32").model)


def test_an_oracle_that_is_the_backbone_is_refused(project, tmp_path):
    shutil.copytree(project, tmp_path / "project")
    root = tmp_path / "project"
    tensors = load_tensors(backbone_paths(root, "mnist-32").model)[0]
    header = load_tensors(oracle_paths(root, "mnist-32").model)[1]
    save_tensors(oracle_paths(root, "mnist-32").model, tensors, header)
    with pytest.raises(ArtifactError, match="has the weights of"):
        counterfactuals(root, "tiny", "cpu")


def test_without_an_oracle_its_columns_are_empty(project, tmp_path):
    shutil.copytree(project, tmp_path / "project")
    root = tmp_path / "project"
    evaluation = TINY["evaluation"] | {"oracle": None, "counterfactual_lists": 1}
    content = TINY | {"evaluation": evaluation, "attfind": TINY["attfind"] | {"protocols": ["same_images"]}}
    (root / "config/experiments/tiny.yaml").write_text(yaml.safe_dump(content))
    shutil.copytree(
        experiment_paths(root, "tiny").attfind / "same_images",
        experiment_paths(root, "tiny").attfind,
        dirs_exist_ok=True,
    )
    counterfactuals(root, "tiny", "cpu")
    images, rows = (
        read_table(getattr(experiment_paths(root, "tiny"), f"counterfactual{end}")) for end in ("_images", "s")
    )
    assert set(images["oracle"]) == {""} and images["agreed"].isna().all()
    assert rows["agreement"].isna().all() and rows["validity"].notna().all() and rows["frechet_distance"].notna().any()


CERTAIN = 1000.0  # a logit beside which all others are nothing


def pixel_switch(pixel):
    """A classifier of class 1 where one pixel is above 0, and of class 0 elsewhere, with certainty."""

    def classify(images):
        sign = images.mean(dim=1).flatten(1)[:, pixel].sign()
        return torch.stack([-CERTAIN * sign, CERTAIN * sign], dim=1)

    return classify


def pair(changes):
    """Black images of 2x2 pixels and three channels, and the same with each pixel raised by so much."""
    before = -torch.ones(1, 3, 2, 2)
    return before, before + torch.tensor(changes).view(1, 1, 2, 2)


@pytest.mark.parametrize(
    ("pixel", "target", "source"),
    [
        (0, 0.875, 0.125),  # exchanged first: the curve of the target is 0, 1, 1, 1, 1, of the other 1, 0, 0, 0, 0
        (1, 0.625, 0.375),  # second: 0, 0, 1, 1, 1
        (3, 0.125, 0.875),  # last: 0, 0, 0, 0, 1
    ],
)
def test_the_sooner_the_decision_turns_the_larger_is_the_area(pixel, target, source):
    areas = transition_areas(pixel_switch(pixel), *pair([2.0, 1.9, 1.8, 1.7]), steps=4)
    assert areas[0].tolist() == pytest.approx([source, target])


def test_a_counterfactual_that_turns_nothing_and_one_that_was_turned_before():
    before, _ = pair([0.0] * 4)
    assert transition_areas(pixel_switch(0), before, before, steps=4)[0].tolist() == [1, 0]  # COUT -1 towards class 1
    assert transition_areas(pixel_switch(0), -before, -before, steps=4)[0].tolist() == [0, 1]  # COUT 1


def test_pixels_are_exchanged_by_the_size_of_their_change_whatever_its_sign_and_ties_in_reading_order():
    before, after = pair([0.1, -0.5, 0.1, 0.3])
    assert change_ranks(pixel_change(before, after)).tolist() == [[2, 0, 3, 1]]


def plain_areas(weight, before, after, steps):
    """COUT's two areas of one image, one pixel, one channel and one step after the other."""
    channels, height, width = before.shape
    mask = [sum(abs(after[c, y, x] - before[c, y, x]) for c in range(channels)) / channels
            for y in range(height) for x in range(width)]  # fmt: skip
    order = sorted(range(len(mask)), key=lambda pixel: -mask[pixel])
    chances = []
    for step in range(steps + 1):
        mixed = before.copy()
        for pixel in order[: -(-step * len(order) // steps)]:
            mixed[:, pixel // width, pixel % width] = after[:, pixel // width, pixel % width]
        logits = [float((row * mixed.ravel()).sum()) for row in weight]
        total = sum(numpy.exp(logit) for logit in logits)
        chances.append([numpy.exp(logit) / total for logit in logits])
    return [
        sum((one[label] + other[label]) / 2 for one, other in zip(chances, chances[1:], strict=False)) / steps
        for label in range(len(weight))
    ]


@pytest.mark.parametrize(("channels", "steps"), [(1, 5), (3, 16)])
def test_equals_a_plain_loop(channels, steps):
    random = numpy.random.default_rng(0)
    before, after = (random.uniform(-1, 1, (4, channels, 4, 4)).astype(numpy.float32) for _ in range(2))
    weight = random.normal(size=(3, channels * 16)).astype(numpy.float32)
    matrix = torch.from_numpy(weight)
    found = transition_areas(
        lambda images: images.flatten(1) @ matrix.T, *map(torch.from_numpy, (before, after)), steps
    )
    expected = [plain_areas(weight, x, y, steps) for x, y in zip(before, after, strict=True)]
    assert numpy.allclose(found.numpy(), expected, atol=1e-5)
    assert (found.sum(dim=1) - 1).abs().max() < 1e-5  # probabilities, so their areas add up


def record(image, flipped, agreed=None, first_k=None, draw=0, **values):
    answers = {} if agreed is None else {"agreed": agreed, "neither": not agreed and image == "c"}
    numbers = {"cout": 0.5, "l1": 0.25, "perceptual": 1.0, "diversity": None} | values
    return {"id": image, "draw": draw, "flipped": flipped, "first_k": first_k} | answers | numbers


FOUR = [
    record("a", True, True, 1, cout=1.0),
    record("b", True, False, 4, cout=0.0),
    record("c", False, False, cout=-1.0),
    record("d", False, True, cout=0.0),  # the oracle says so, but the classifier does not
]


def test_counts_of_four_images_by_hand():
    row = of_images([FOUR], seed=0)
    assert (row["n"], row["images"], row["flipped"], row["agreed"]) == (4, 4, 2, 1)
    assert (row["validity"], row["agreement"], row["neither"]) == (0.5, 0.25, 0.25)
    assert (row["validity_low"], row["validity_high"]) == wilson_interval(2, 4)
    assert (row["agreement_low"], row["agreement_high"]) == wilson_interval(1, 4)
    assert row["sparsity"] == 2.5 and row["cout"] == 0.0 and row["l1"] == 0.25 and row["diversity"] is None


def test_an_image_of_several_draws_or_targets_is_resampled_with_all_of_them():
    draws = [record(image, image == "a", True, draw=draw) for draw in range(3) for image in "abcd"]
    row = of_images([draws], seed=3)
    assert (row["n"], row["images"], row["flipped"]) == (12, 4, 3)
    assert (row["validity_low"], row["validity_high"]) == bootstrap([3, 0, 0, 0], 3, [3, 3, 3, 3])
    both = of_images([FOUR, FOUR], seed=3)
    assert (both["n"], both["images"]) == (8, 4)
    assert (both["validity_low"], both["validity_high"]) == bootstrap([2, 2, 0, 0], 3, [2, 2, 2, 2])


def test_without_an_oracle_nothing_is_said_of_agreement():
    row = of_images([[record("a", True, first_k=1)]], seed=0)
    assert row["validity"] == 1 and not {"agreement", "agreed", "neither"} & set(row)


def test_of_no_image_nothing_is_known():
    row = of_images([[]], seed=0)
    assert row["n"] == 0 and row["validity"] is None and row["sparsity"] is None and row["l1"] is None
    assert (row["validity_low"], row["validity_high"]) == (0.0, 1.0)


def test_a_row_for_each_target_and_one_for_all(root):
    apart = {"n_real": 5, "n_compared": 4, "extractor": "net", "frechet_distance": 6.0, "frechet_reconstructions": 2.0}
    apart |= {"frechet_ratio": 3.0, "frechet_halves": None, "kid": 0.1, "kid_sd": 0.01}
    other = apart | {"frechet_distance": 2.0, "frechet_ratio": 1.0}
    rows = summaries({"3": FOUR, "5": FOUR[:1]}, {"3": apart, "5": other}, load_experiment(root, "mnist"))
    assert [row["target_class"] for row in rows] == ["3", "5", "*"] and [row["n"] for row in rows] == [4, 1, 5]
    every = rows[-1]
    assert (every["frechet_distance"], every["frechet_ratio"], every["n_compared"]) == (4.0, 2.0, 8)
    assert every["frechet_halves"] is None and set(every) < set(SUMMARY_COLUMNS)
    assert summaries({}, {}, load_experiment(root, "mnist")) == []
    missing = apart | {"frechet_distance": None, "frechet_ratio": None}
    assert mean_distances([apart, missing])["frechet_ratio"] is None  # not that of the class that has one


def plain_frechet(a, b):
    """Heusel et al. 2017 as it is written, by scipy's matrix root."""
    first, second = (numpy.cov(each, rowvar=False) for each in (a, b))
    apart = numpy.sum((a.mean(axis=0) - b.mean(axis=0)) ** 2)
    return apart + numpy.trace(first + second - 2 * numpy.real(sqrtm(first @ second)))


def features(count, shift, seed):
    values = numpy.random.default_rng(seed).normal(shift, 1, (count, 3))
    return Features([f"{seed}-{row}" for row in range(count)], torch.from_numpy(values))


def test_as_many_reconstructions_as_flipped_images_are_compared():
    real, rebuilt, turned = features(200, 0, 1), features(40, 0, 2), features(25, 2, 3)
    row = distances(real, rebuilt, turned, seed=0)
    assert row["n_compared"] == 25
    assert row["frechet_distance"] == pytest.approx(plain_frechet(real.values.numpy(), turned.values.numpy()))
    generator = torch.Generator().manual_seed(0)
    torch.randperm(25, generator=generator)
    some = rebuilt.values[torch.randperm(40, generator=generator)[:25]]
    assert row["frechet_reconstructions"] == pytest.approx(plain_frechet(real.values.numpy(), some.numpy()))
    assert row["frechet_ratio"] == row["frechet_distance"] / row["frechet_reconstructions"] > 4
    assert row["kid"] > 0


def test_of_a_handful_no_distance_is_taken():
    real, rebuilt = features(200, 0, 1), features(40, 0, 2)
    row = distances(real, rebuilt, features(FEWEST - 1, 2, 3), seed=0)
    assert row["n_compared"] == 0 and {row[key] for key in row if key != "n_compared"} == {None}
    assert distances(real, rebuilt, features(FEWEST, 2, 3), seed=0)["frechet_halves"] is None


def test_halves_share_no_image_and_are_compared_crosswise():
    real, turned = features(200, 0, 1), features(60, 2, 3)
    ours, theirs = in_first_half(real.ids).numpy(), in_first_half(turned.ids).numpy()
    assert 60 < ours.sum() < 140 and torch.equal(in_first_half(real.ids), in_first_half(list(real.ids)))
    crosswise = [
        plain_frechet(real.values.numpy()[a], turned.values.numpy()[b]) for a, b in ((ours, ~theirs), (~ours, theirs))
    ]
    assert frechet_of_halves(real, turned) == pytest.approx(sum(crosswise) / 2)
