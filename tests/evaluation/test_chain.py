"""encode, effects, attributes, sufficiency and Fréchet curve, file by file, on small random networks."""

from dataclasses import replace

import pandas
import pytest
import torch
from torchvision.models import inception_v3

from stylex.artifacts import read_json, read_table, sha256, write_json
from stylex.attfind import effects as effects_stage
from stylex.attfind import selection
from stylex.attfind.records import Attribute, Direction, read_attributes, read_effects, write_attributes
from stylex.classifiers import load_classifier
from stylex.config import (
    DatasetConfig,
    DatasetPaths,
    ExperimentPaths,
    backbone_paths,
    experiment_paths,
    load_experiment,
)
from stylex.config.base import Protocol
from stylex.datasets import ImageSplit
from stylex.errors import ArtifactError, AttributesNotFoundError
from stylex.evaluation import counterfactuals
from stylex.evaluation.baselines import baseline
from stylex.evaluation.counterfactuals import apply_attributes
from stylex.evaluation.frechet import frechet, images_moved, towards_other_class
from stylex.evaluation.sufficiency import random_flips, random_list, sufficiency
from stylex.latents import encode as encode_module
from stylex.latents.encode import encode
from stylex.latents.table import read_latents
from stylex.networks.model import load_stylex
from stylex.pretrained import WEIGHTS
from tests.builders import balance, configure, save_random_network, save_random_stylex

NAME = "mnist"
ATTFIND = {"images": 24, "threshold": 1000.0, "precision": "float32", "batch_size": 128}


def digits(count=40):
    generator = torch.Generator().manual_seed(5)
    table = torch.randint(0, 256, (count, 1, 32, 32), generator=generator, dtype=torch.uint8).numpy()
    ids = [f"digit-{row:03d}" for row in range(count)]
    labels = torch.arange(count) % 2
    return ImageSplit(labels, ids, ("3", "5"), 1, 32, table, torch.arange(count).numpy())


@pytest.fixture
def project(root, monkeypatch, small_experiment):
    run = small_experiment(root, attfind=ATTFIND)
    save_random_network(run.paths.classifier.model, "classifier", ("3", "5"))
    save_random_network(backbone_paths(root, "mnist-32").model, "backbone", "0123456789", seed=1)
    split = digits()

    def load_split(_root, dataset: DatasetConfig, _split):
        assert dataset.classes == ["3", "5"]
        return split

    write_json(DatasetPaths(root, "mnist").manifest(32), {"shards": {"test": [{"sha256": "of the digits"}]}})
    monkeypatch.setattr(encode_module, "load_split", load_split)
    monkeypatch.setattr(counterfactuals, "load_split", load_split)
    encode(root, NAME, "cpu")
    balance(run.paths)
    encode(root, NAME, "cpu")
    return root


def search(root, name=NAME):
    """Measure effects and select attributes by both protocols; where random networks have none, the list is empty."""
    main = load_experiment(root, name).attfind.protocol
    for protocol in Protocol:
        effects_stage.compute_effects(root, name, "cpu", protocol=protocol)
        try:
            selection.select(root, name, protocol)
        except AttributesNotFoundError:
            write_attributes(ExperimentPaths(root, name).under(protocol, main).attributes, [], {})


def test_every_file_of_the_analysis(project):
    paths = ExperimentPaths(project, NAME)
    search(project)
    sufficiency(project, NAME, "cpu")
    frechet(project, NAME, "cpu")

    latents, effects = read_latents(paths.latents), read_effects([paths.effects()])
    latents = latents.under(Protocol.HELD_OUT)
    assert len(latents.ids) == 24 and effects.ids == [latents.ids[row] for row in torch.nonzero(latents.searched)]
    assert latents.labels.bincount().tolist() == [12, 12]
    assert latents.provenance["split"] == "test"
    torch.testing.assert_close(effects.base_logits, latents.reconstruction_logits[latents.searched], rtol=0, atol=1e-4)
    assert set(read_attributes(paths.attributes)) <= {"3", "5"}

    table = pandas.read_csv(paths.sufficiency, dtype={"target_class": str})
    for protocol, count in {"held_out": 12, "same_images": 24}.items():
        pooled = table[(table["k"] == 10) & (table["protocol"] == protocol)].set_index("target_class")
        assert pooled.loc["*", "n"] == count == pooled.loc["3", "n"] + pooled.loc["5", "n"]
    assert (table.groupby(["protocol", "target_class"])["flipped"].apply(lambda f: f.is_monotonic_increasing)).all()

    curve = pandas.read_csv(paths.frechet)
    assert ", ".join(curve.columns) == (
        "experiment, protocol, n_attributes, n, extractor, frechet_distance, kid, kid_sd, kid_fold_1, kid_fold_2,"
        " kid_fold_3, kid_fold_4, kid_fold_5"
    )
    assert curve.filter(like="kid_fold_").isna().all().all()  # 24 images are too few to divide
    assert curve["n_attributes"].tolist() == 2 * list(range(11))
    assert curve.groupby("protocol")["n"].unique().map(list).to_dict() == {"held_out": [12], "same_images": [24]}
    assert set(curve["extractor"]) == {"random"}
    assert (curve["frechet_distance"] > 0).all()

    flips = pandas.read_csv(paths.flips, dtype={"target_class": str})
    assert list(flips.columns) == ["id", "method", "protocol", "target_class", "first_k"]
    held_out = [latents.ids[row] for row in torch.nonzero(latents.measured)]
    assert sorted(flips[flips["protocol"] == "held_out"]["id"]) == sorted(held_out)
    assert sorted(flips[flips["protocol"] == "same_images"]["id"]) == sorted(latents.ids)
    for row in table.to_dict("records"):
        own = flips[flips["protocol"] == row["protocol"]]
        own = own if row["target_class"] == "*" else own[own["target_class"] == row["target_class"]]
        assert (len(own), (own["first_k"] <= row["k"]).sum()) == (row["n"], row["flipped"])


def test_random_lists_go_on_where_the_first_attribute_leaves_off(project):
    config, paths = load_experiment(project, NAME), ExperimentPaths(project, NAME)
    latents = read_latents(paths.latents).under(Protocol.HELD_OUT)
    layout, found = load_stylex(paths.stylex_model).synthesis.layout, []
    for target in ("3", "5"):
        indices = [3, 20, 27] if target == "3" else [5]
        found += [
            Attribute(target, rank, index, *layout.locate(index), Direction.TO_MAX, 1.0, 1)
            for rank, index in enumerate(indices, start=1)
        ]
    for protocol in Protocol:
        write_attributes(paths.under(protocol, Protocol.HELD_OUT).attributes, found, {})
    sufficiency(project, NAME, "cpu")
    random_flips(project, NAME, "cpu")
    table = pandas.read_csv(paths.random_flips, dtype={"target_class": str})
    assert list(table.columns) == ["id", "target_class", "draw", "first_k"]
    flips = pandas.read_csv(paths.flips, dtype={"target_class": str})
    left = flips[(flips["protocol"] == "held_out") & (flips["first_k"] != 1)]
    for _, part in table.groupby("draw"):
        assert part[["id", "target_class"]].to_numpy().tolist() == left[["id", "target_class"]].to_numpy().tolist()
    assert set(table["draw"]) == set(range(1, config.evaluation.random_lists + 1))
    # Two random moves follow where AttFind has two, and none where it has none.
    assert table[table["target_class"] == "5"]["first_k"].isna().all()
    assert set(table["first_k"].dropna()) <= {2, 3} and table["first_k"].notna().any()

    # The first draw again, one image and one step at a time.
    moves = random_list(found[0], 3, layout, torch.Generator().manual_seed(config.seed))
    synthesis, classifier = load_stylex(paths.stylex_model).synthesis, load_classifier(paths.classifier.model)
    first = table[(table["draw"] == 1) & (table["target_class"] == "3")]
    assert len(first)
    for row in first.to_dict("records"):
        image = torch.tensor([latents.ids.index(row["id"])])
        styles = [apply_attributes(latents, image, moves[:k], config.attfind.shift) for k in (2, 3)]
        steps = [k for k, each in zip((2, 3), styles, strict=True) if decided_as_3(synthesis, classifier, each)]
        assert steps[:1] == ([] if pandas.isna(row["first_k"]) else [row["first_k"]])
    before = paths.random_flips.read_bytes()
    random_flips(project, NAME, "cpu")
    assert paths.random_flips.read_bytes() == before


@torch.no_grad()
def decided_as_3(synthesis, classifier, styles):
    return int(classifier(synthesis.render(styles)).argmax()) == 0


def test_without_the_classifier_two_methods_are_measured_on_the_same_images(project):
    twin = f"{NAME}-without-cst"
    paths = experiment_paths(project, twin)
    save_random_stylex(project, twin)
    assert paths.classifier == ExperimentPaths(project, NAME).classifier
    encode(project, twin, "cpu")
    search(project, twin)
    for protocol in Protocol:
        baseline(project, twin, protocol)
    sufficiency(project, twin, "cpu")
    flips = pandas.read_csv(paths.flips, dtype={"target_class": str})
    images = {method: set(part["id"]) for method, part in flips.groupby("method")}
    assert set(images) == {"without_cst", "wu_2021"} and images["without_cst"] == images["wu_2021"]
    table = pandas.read_csv(paths.sufficiency)
    assert table["method"].drop_duplicates().tolist() == ["without_cst", "wu_2021"]


def test_against_one_class_its_images_alone_are_measured(project):
    configure(project, NAME, attfind=ATTFIND | {"against": "3"})
    search(project)
    sufficiency(project, NAME, "cpu")
    frechet(project, NAME, "cpu")
    paths = ExperimentPaths(project, NAME)
    flips = pandas.read_csv(paths.flips, dtype={"target_class": str})
    table = pandas.read_csv(paths.sufficiency, dtype={"target_class": str})
    curve = pandas.read_csv(paths.frechet)
    assert set(flips["target_class"]) == {"5"} and set(table["target_class"]) == {"5", "*"}
    for protocol in Protocol:
        latents = read_latents(paths.latents).under(protocol)
        decided = latents.measured & (latents.reconstruction_logits.argmax(1) == 0)
        of_three = [latents.ids[row] for row in torch.nonzero(decided)]
        assert 0 < len(of_three) < latents.measured.sum()
        own = [frame[frame["protocol"] == protocol] for frame in (flips, table, curve)]
        assert own[0]["id"].tolist() == of_three
        assert set(own[1]["n"]) == {len(of_three)} == set(own[2]["n"])


def test_a_class_of_one_reconstruction_has_no_distribution(project):
    latents = read_latents(ExperimentPaths(project, NAME).latents)
    logits = torch.tensor([[1.0, 0.0]]).repeat(len(latents.ids), 1)
    with pytest.raises(AttributesNotFoundError, match="fewer than two reconstructions are classified as '5'"):
        images_moved(replace(latents, reconstruction_logits=logits), "5")


def test_inception_stands_beside_the_backbone_under_its_own_name(project, monkeypatch):
    asked = {"frechet_extractors": ["inception", "backbone"], "frechet_attributes": 0, "inception_weights": "mine.pth"}
    attfind = ATTFIND | {"images": 6, "protocols": ["same_images"]}
    configure(project, NAME, evaluation=asked, attfind=attfind)
    network = inception_v3(weights=None, num_classes=1008, aux_logits=False, init_weights=False)
    torch.save(network.state_dict(), project / "mine.pth")
    paths = ExperimentPaths(project, NAME)
    encode(project, NAME, "cpu")
    write_attributes(paths.attributes, [], {})
    with pytest.raises(ArtifactError, match=r"mine.pth is not pt_inception-2015-12-05-6726825d.pth"):
        frechet(project, NAME, "cpu")
    assert not paths.frechet.exists()

    published = replace(WEIGHTS["inception"].file, sha256=sha256(project / "mine.pth"))
    monkeypatch.setitem(WEIGHTS, "inception", replace(WEIGHTS["inception"], file=published))
    frechet(project, NAME, "cpu")
    curve = read_table(paths.frechet)
    assert curve[["n_attributes", "n", "extractor"]].to_numpy().tolist() == [[0, 6, "inception"], [0, 6, "random"]]
    assert (curve["frechet_distance"] > 0).all() and curve["frechet_distance"].nunique() == 2
    assert read_json(paths.frechet.with_suffix(".provenance.json"))["inception_sha256"] == published.sha256


def test_real_images_are_joined_by_id(project, monkeypatch):
    config, latents = load_experiment(project, NAME), read_latents(ExperimentPaths(project, NAME).latents)
    rows, found = torch.arange(len(latents.ids)), []
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    for split in (digits(), digits().part(order)):
        monkeypatch.setattr(counterfactuals, "load_split", lambda *_, split=split: split)
        found.append(counterfactuals.load_originals(project, config, latents)(rows))
    own = dict(zip(digits().ids, digits().images(), strict=True))
    assert torch.equal(found[0], torch.stack([own[identity] for identity in latents.ids]))
    assert torch.equal(*found)
    monkeypatch.setattr(counterfactuals, "load_split", lambda *_: digits(3))
    with pytest.raises(ArtifactError, match="is not in the dataset; run encode again"):
        counterfactuals.load_originals(project, config, latents)


def test_each_image_is_moved_towards_the_class_it_is_not(project):
    search(project)
    paths = ExperimentPaths(project, NAME)
    latents, attributes = read_latents(paths.latents), read_attributes(paths.attributes)
    assert torch.equal(towards_other_class(latents, attributes, 0, 2.0).space, latents.styles)
    moved = towards_other_class(latents, attributes, 1, 2.0).space
    decisions = latents.reconstruction_logits.argmax(1).tolist()
    for row, decision in enumerate(decisions):
        allowed = attributes[latents.class_names[1 - decision]][0].style_index
        assert set(torch.nonzero(moved[row] != latents.styles[row]).flatten().tolist()) <= {allowed}


def test_a_classifier_of_other_classes_is_refused(project):
    save_random_network(ExperimentPaths(project, NAME).classifier.model, "classifier", ("3", "8"))
    with pytest.raises(ArtifactError, match="knows the classes 3, 8, the experiment 3, 5"):
        encode(project, NAME, "cpu")
