"""Counterfactuals of every method on small random networks: what the files say is counted again from the renders.

The networks, the images and the stages before are real; random networks only answer as chance has it.
"""

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy
import pyarrow
import pytest
import torch
import yaml
from PIL import Image

from stylex.artifacts import load_tensors, read_json, read_table, save_tensors, sha256, write_json
from stylex.attfind import effects, selection
from stylex.attfind.records import read_attributes, write_attributes
from stylex.classifiers import (
    build_network,
    load_backbone,
    load_classifier,
    load_oracle,
    load_perceptual,
    perceptual_distance,
)
from stylex.classifiers.wrapper import NetworkDescription, save_network
from stylex.config import DatasetPaths, backbone_paths, experiment_paths, load_experiment, oracle_paths
from stylex.errors import ArtifactError, AttributesNotFoundError
from stylex.evaluation import baselines
from stylex.evaluation.counterfactuals import apply_attributes, images_to_turn
from stylex.evaluation.ganalyze import ganalyze
from stylex.evaluation.quality import counterfactuals
from stylex.evaluation.turning import Model
from stylex.latents.encode import encode
from stylex.latents.table import read_latents
from stylex.networks.model import build_networks, load_stylex, save_stylex

CONFIG = Path(__file__).parents[2] / "config"
DIGITS = tuple("0123456789")
CHANNELS = {f"{kind}_channels": [8, 8, 8, 8] for kind in ("generator", "encoder", "discriminator")}
TINY = {
    "extends": "mnist",
    "stylex": {"networks": {**CHANNELS, "latent_dim": 8}},
    "attfind": {
        "images": 48,
        "max_attributes": 4,
        "threshold": 1000.0,
        "precision": "float32",
        "batch_size": 128,
        "protocols": ["held_out", "same_images"],
    },
    "evaluation": {
        "sufficiency_k": [1],
        "frechet_attributes": 1,
        "ganalyze": {"steps": 5},
        "counterfactual_searches": 5,
        "counterfactual_diversity": 3,
        "counterfactual_lists": 2,
        "baselines": {"latent_steps": 8, "pixel_levels": 6, "ganalyze_steps": 4},
        "batch_size": 10,
    },
}
METHODS = {"stylex", "random", "subset", "independent", "latent", "ganalyze", "condition", "pixel"}


def save_random(path, role, names, seed):
    torch.manual_seed(seed)
    description = NetworkDescription(
        role=role, name="random", architecture="resnet18", width=0.125, channels=1, resolution=32, class_names=names
    )
    save_network(path, build_network("resnet18", 1, len(names), 0.125), description, {})


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
def project(tmp_path_factory):
    """A project in which the verb has run. Tests must not change it."""
    root = tmp_path_factory.mktemp("counterfactuals")
    shutil.copytree(CONFIG, root / "config")
    (root / "config/experiments/tiny.yaml").write_text(yaml.safe_dump(TINY))
    write_split(root)
    config, paths = load_experiment(root, "tiny"), experiment_paths(root, "tiny")
    save_random(paths.classifier.model, "classifier", ("3", "5"), seed=0)
    save_random(backbone_paths(root, "mnist-32").model, "backbone", DIGITS, seed=1)
    save_random(oracle_paths(root, "mnist-32").model, "oracle", DIGITS, seed=2)
    networks = build_networks(config.stylex, resolution=32, image_channels=1, classes=2, seed=0)
    save_stylex(paths.stylex_model, networks, {})
    encode(root, "tiny", "cpu")
    balance(paths)
    encode(root, "tiny", "cpu")
    for protocol in config.attfind.protocols:
        effects.compute_effects(root, "tiny", "cpu", protocol=protocol)
        try:
            selection.select(root, "tiny", protocol)
        except AttributesNotFoundError:
            write_attributes(paths.under(protocol, config.attfind.protocol).attributes, [], {})
    ganalyze(root, "tiny", "cpu")
    counterfactuals(root, "tiny", "cpu")
    return root


def balance(paths):
    """Shift the classifier's bias so that half of the reconstructions fall on either side."""
    logits = read_latents(paths.latents).reconstruction_logits
    tensors, header = load_tensors(paths.classifier.model)
    tensors["head.bias"][1] -= (logits[:, 1] - logits[:, 0]).median() + 1e-6
    save_tensors(paths.classifier.model, tensors, header)


@pytest.fixture(scope="module")
def loaded(project):
    config, paths = load_experiment(project, "tiny"), experiment_paths(project, "tiny")
    networks, classifier = load_stylex(paths.stylex_model), load_classifier(paths.classifier.model)
    model = Model(config, networks, classifier, load_perceptual(project, config.stylex), "cpu")
    latents = read_latents(paths.latents).under(config.attfind.protocol)
    images, rows = (read_table(path) for path in (paths.counterfactual_images, paths.counterfactuals))
    return SimpleNamespace(
        config=config, paths=paths, model=model, latents=latents, images=images, rows=rows, classifier=classifier
    )


def decided(classifier, images, folder):
    """The classifier's decisions on images that were written as PNG and read again."""
    folder.mkdir(exist_ok=True)
    read = []
    for number, image in enumerate(images.numpy()):
        path = folder / f"{number}.png"
        Image.fromarray(numpy.clip(numpy.rint((image[0] + 1) * 127.5), 0, 255).astype(numpy.uint8)).save(path)
        read.append(numpy.asarray(Image.open(path)))
    pixels = torch.from_numpy(numpy.stack(read)).float()[:, None] / 127.5 - 1
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
    assert (
        of(main, method="random", target_class="*")["n"].item()
        == 2 * of(main, method="stylex", target_class="*")["n"].item()
    )


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
    latents, config = loaded.latents, loaded.config
    attributes, oracle = (
        read_attributes(loaded.paths.attributes),
        load_oracle(oracle_paths(project, "mnist-32").model, []),
    )
    backbone = load_backbone(backbone_paths(project, "mnist-32").model)
    for target in ("3", "5"):
        written = of(loaded.images, method="stylex", protocol="held_out", target_class=target).set_index("id")
        rows = images_to_turn(latents, target, None)
        assert sorted(written.index) == sorted(latents.ids[row] for row in rows)
        for row in rows[:4]:
            one, found = row[None], attributes.get(target, [])
            before = loaded.model.images(latents.style_vector(one))
            images = [
                loaded.model.images(apply_attributes(latents, one, found[:k], config.attfind.shift))
                for k in range(len(found) + 1)
            ]
            answers = decided(loaded.classifier, torch.cat(images), tmp_path / target) == latents.class_names.index(
                target
            )
            first = next((k for k, answer in enumerate(answers.tolist()) if answer), 0)
            told, after = written.loc[latents.ids[row]], images[first or len(found)]
            assert told["flipped"] == bool(first) and (
                told["first_k"] == first or (first == 0 and numpy.isnan(told["first_k"]))
            )
            # Rendered in another batch, some pixel may be rounded to the next of 255 levels.
            assert told["l1"] == pytest.approx(numpy.abs((after - before).numpy()).mean(), abs=4 * (2 / 255) / 32**2)
            distance = perceptual_distance(backbone.features(before), backbone.features(after))
            assert told["perceptual"] == pytest.approx(distance.item(), rel=1e-3)
            with torch.no_grad():
                assert told["oracle"] == DIGITS[oracle(after).argmax()]


@pytest.mark.parametrize("name", ["latent", "ganalyze", "condition", "pixel"])
def test_a_baseline_flips_what_it_says(loaded, tmp_path, name):
    for target in ("3", "5"):
        rows = images_to_turn(loaded.latents, target, None)
        extra = (loaded.paths.ganalyze,) if name == "ganalyze" else ()
        turned = getattr(baselines, name)(loaded.model, loaded.latents, rows, target, *extra)
        flipped = decided(loaded.classifier, turned.images, tmp_path / target) == loaded.latents.class_names.index(
            target
        )
        written = of(loaded.images, method=name, protocol="held_out", target_class=target)
        assert written["id"].tolist() == [loaded.latents.ids[row] for row in rows]
        assert written["flipped"].tolist() == flipped.tolist()
        assert written["first_k"].isna().all()


def test_baselines_flip_something_here(loaded):
    """Or the test before would say nothing."""
    flips = of(loaded.rows, protocol="held_out", target_class="*").set_index("method")["flipped"]
    assert flips["pixel"] > 0 and flips["latent"] > 0


def test_a_pixel_step_is_the_smallest_that_flips_and_no_larger_than_said(loaded):
    rows, levels = images_to_turn(loaded.latents, "3", None), loaded.config.evaluation.baselines.pixel_levels
    before = loaded.model.images(loaded.latents.style_vector(rows))
    after = baselines.pixel(loaded.model, loaded.latents, rows, "3").images
    size = ((after - before).abs() * 127.5).round().flatten(1).amax(dim=1)
    assert size.max() <= levels and size.min() >= 1
    for fewer in range(1, levels):
        options = loaded.config.evaluation.baselines.model_copy(update={"pixel_levels": fewer})
        evaluation = loaded.config.evaluation.model_copy(update={"baselines": options})
        model = Model(
            loaded.config.model_copy(update={"evaluation": evaluation}), loaded.model.networks, loaded.classifier,
            loaded.model.perceptual, "cpu",
        )  # fmt: skip
        shorter = baselines.pixel(model, loaded.latents, rows, "3").images
        with torch.no_grad():
            assert not (loaded.classifier(shorter).argmax(dim=1) == 0)[size > fewer].any()


def test_the_condition_is_that_of_reconstructions_of_the_class_and_w_stays(loaded):
    latents, networks = loaded.latents, loaded.model.networks
    rows = images_to_turn(latents, "5", None)
    chosen = [
        row
        for row in range(len(latents.ids))
        if latents.searched[row] and latents.reconstruction_logits[row].argmax() == 1
    ]
    mean = sum(latents.reconstruction_logits[row] for row in chosen) / len(chosen)
    turned = baselines.condition(loaded.model, latents, rows, "5")
    one = networks.synthesis.render(networks.synthesis.styles(networks.w_plus(latents.w[rows[:1]], mean[None])))
    assert (turned.images[:1] - one).abs().max() <= 2 / 255 + 1e-6  # a level, where rounding falls the other way


def test_explanations_that_are_compared_share_no_coordinate(loaded, monkeypatch):
    from stylex.attfind.explanations import Explainer
    from stylex.attfind.records import Method
    from stylex.evaluation.turning import Searched, by_explanation

    explained = []
    explain = Explainer.explain

    def recorded(self, styles, *arguments, **options):
        explained.append((styles.space.clone(), explain(self, styles, *arguments, **options)))
        return explained[-1][1]

    monkeypatch.setattr(Explainer, "explain", recorded)
    explainer = Explainer(loaded.model.networks, loaded.classifier, loaded.latents, loaded.config.attfind, "cpu")
    rows = images_to_turn(loaded.latents, "3", None)
    searched = Searched.of(loaded.model, explainer, loaded.latents, rows, "3")
    turned = by_explanation(loaded.model, explainer, loaded.latents, searched, Method.SUBSET)
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
    for table in (loaded.paths.counterfactuals, loaded.paths.counterfactual_images):
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
