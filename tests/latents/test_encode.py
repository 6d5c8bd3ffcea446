"""A row depends on its own image alone, and however many jobs encode, the merged table is the same one."""

import shutil

import pytest
import torch
from paper_training import as_papers

from stylex.classifiers import Classifier, FeatureBackbone
from stylex.cli import main
from stylex.config import AttFindConfig, ExperimentPaths, backbone_paths, load_experiment
from stylex.errors import ArtifactError
from stylex.latents.encode import analysis_rows, encode, encode_images, merge_shards, shard_batches
from stylex.latents.table import read_latents
from stylex.networks.model import build_networks, load_stylex, save_stylex
from tests.builders import configure, narrow, random_network, save_random_network

NAME, IMAGES, BATCH = "mnist", 22, 4
DIGITS = "0123456789"


@pytest.fixture
def parts(root):
    torch.manual_seed(0)
    config = as_papers(load_experiment(root, "mnist").stylex)
    stylex = build_networks(config, resolution=32, image_channels=1, classes=2, seed=0)
    return (
        stylex.eval().requires_grad_(False),
        random_network(Classifier, "classifier", "01"),
        random_network(FeatureBackbone, "backbone", DIGITS),
    )


@pytest.fixture
def images():
    return torch.rand(6, 1, 32, 32, generator=torch.Generator().manual_seed(3)) * 2 - 1


def test_rows_do_not_depend_on_batch_mates(parts, images):
    together = encode_images(*parts, images)
    alone = [encode_images(*parts, images[row : row + 1]) for row in range(len(images))]
    for name, column in together.items():
        torch.testing.assert_close(column, torch.cat([part[name] for part in alone]), rtol=1e-4, atol=1e-4, msg=name)


def test_columns_hold_what_their_names_say(parts, images):
    stylex, classifier, backbone = parts
    before = images.clone()
    columns = encode_images(*parts, images)
    assert torch.equal(images, before)
    w_plus = torch.cat([stylex.encoder(images), classifier(images)], dim=1)  # conditioned on logits
    reconstruction = stylex.synthesis.render(stylex.synthesis.styles(w_plus))
    torch.testing.assert_close(columns["reconstruction_l1"], (reconstruction - images).abs().flatten(1).mean(1))
    torch.testing.assert_close(columns["reconstruction_logits"], classifier(reconstruction))
    assert columns["styles"].shape == (6, stylex.synthesis.layout.size)
    assert columns["discriminator"].shape == columns["reconstruction_perceptual"].shape == (6,)


def attfind(**changed):
    return AttFindConfig(**({"images": 60, "shift": 1, "max_attributes": 1, "threshold": 1, "batch_size": 1} | changed))


def test_a_natural_choice_is_drawn_by_the_seed_and_keeps_the_shares_of_the_classes():
    labels, natural = torch.tensor([0] * 9000 + [1] * 1000), attfind(images=1000, sampling="natural")
    every = torch.arange(len(labels))
    chosen = analysis_rows(labels, every, natural, seed=7)
    assert len(chosen.unique()) == 1000 and torch.equal(chosen, chosen.sort().values)
    assert torch.equal(chosen, analysis_rows(labels, every, natural, seed=7))
    assert 50 < len(set(chosen.tolist()) & set(analysis_rows(labels, every, natural, seed=8).tolist())) < 150
    assert 60 < int(labels[chosen].sum()) < 140, "a tenth, and not half as in the balanced choice"
    assert int(labels[analysis_rows(labels, every, attfind(images=1000), seed=7)].sum()) == 500
    assert len(analysis_rows(labels, every, attfind(images=99999, sampling="natural"), seed=7)) == len(labels)


@pytest.mark.parametrize("sampling", ["balanced", "natural"])
def test_only_candidates_are_chosen(sampling):
    labels, candidates = torch.tensor([0, 1] * 500), torch.arange(0, 1000, 3)
    chosen = analysis_rows(labels, candidates, attfind(sampling=sampling), seed=0)
    assert len(chosen) == 60 and set(chosen.tolist()) < set(candidates.tolist())
    if sampling == "balanced":
        assert labels[chosen].bincount().tolist() == [30, 30]


def options(root, **attfind):
    configure(root, NAME, attfind={"images": IMAGES, "threshold": 0.05, "batch_size": BATCH} | attfind)


@pytest.fixture
def project(mnist_root, tmp_path):
    root = shutil.copytree(mnist_root, tmp_path / "project")
    narrow(root, NAME)
    options(root)
    save_random_network(ExperimentPaths(root, NAME).classifier.model, "classifier", "35")
    save_random_network(backbone_paths(root, "mnist-32").model, "backbone", DIGITS, seed=1)
    return root


def encoded(root):
    encode(root, NAME, "cpu")
    return read_latents(ExperimentPaths(root, NAME).latents)


def merged(root, shards, **attfind):
    options(root, encode_shards=shards, **attfind)
    for shard in reversed(range(shards)):
        encode(root, NAME, "cpu", shard)
    merge_shards(root, NAME)
    return read_latents(ExperimentPaths(root, NAME).latents)


def test_any_number_of_shards_gives_the_same_bits(project):
    whole = encoded(project)
    assert len(whole.ids) == IMAGES and whole.styles.std(0).max() > 0
    for shards in (2, 5):
        latents = merged(project, shards)
        for name, value in vars(whole).items():
            other = getattr(latents, name)
            if isinstance(value, torch.Tensor):
                assert torch.equal(value, other), (shards, name)
            elif name != "provenance":  # its digest names the number of shards
                assert value == other, (shards, name)
        assert latents.provenance.keys() == whole.provenance.keys()


def test_natural_images_are_the_same_however_they_are_encoded(project):
    options(project, sampling="natural")
    whole = encoded(project)
    assert len(set(whole.ids)) == IMAGES and whole.labels.sum() != IMAGES / 2, "drawn, and not balanced"
    assert merged(project, 2, sampling="natural").ids == whole.ids


def test_only_images_whose_reconstruction_the_discriminator_finds_realistic(project):
    options(project, images=10_000)
    everything = encoded(project)
    middle = float(everything.discriminator.median())
    options(project, images=10_000, min_realism=middle)
    kept = encoded(project)
    realistic = everything.discriminator >= middle
    assert kept.ids == [one for one, stays in zip(everything.ids, realistic.tolist(), strict=True) if stays]
    assert kept.provenance["realistic images"] == f"{len(kept.ids)} of {len(everything.ids)}"
    options(project, min_realism=middle)
    few = encoded(project)
    assert len(few.ids) == IMAGES and set(few.ids) < set(kept.ids) and few.labels.sum() == IMAGES / 2
    options(project, min_realism=1000)
    with pytest.raises(ArtifactError, match="0 of .* get the discriminator's score 1000, the highest .*; lower"):
        encode(project, NAME, "cpu")


def test_shards_hold_whole_batches_and_every_image_once():
    batches = list(torch.arange(23).split(4))
    for shards in (1, 2, 4, 6):
        parts = [shard_batches(batches, shard, shards, NAME) for shard in range(shards)]
        assert all(parts) and torch.equal(torch.cat(sum(parts, [])), torch.arange(23))


@pytest.mark.parametrize(
    ("shard", "shards", "message"),
    [
        (2, 2, "shard 2 does not exist: attfind.encode_shards of mnist is 2"),
        (0, 7, "encode_shards 7 of mnist is more than its 6 batches: set it to 6 at the most"),
    ],
)
def test_a_shard_that_cannot_be(shard, shards, message):
    with pytest.raises(ArtifactError, match=message):
        shard_batches(list(torch.arange(23).split(4)), shard, shards, NAME)


def test_parts_of_different_encodings_are_not_merged(project):
    merged(project, 2)
    options(project, encode_shards=2, images=10)
    with pytest.raises(ArtifactError, match=r"latents holds parts of different encodings of mnist; delete it and"):
        merge_shards(project, NAME)
    encode(project, NAME, "cpu", 0)
    with pytest.raises(ArtifactError, match="different encodings"):
        merge_shards(project, NAME)


def test_another_title_between_two_shards_is_the_same_encoding_and_another_model_is_not(project):
    paths = ExperimentPaths(project, NAME)
    options(project, encode_shards=2)
    encode(project, NAME, "cpu", 0)
    configure(project, NAME, title="Another")
    save_stylex(paths.stylex_model, load_stylex(paths.stylex_model), {"commit": "another"})
    encode(project, NAME, "cpu", 1)
    merge_shards(project, NAME)
    save_stylex(paths.stylex_model, build_networks(load_experiment(project, NAME).stylex, 32, 1, 2, seed=1), {})
    encode(project, NAME, "cpu", 1)
    with pytest.raises(ArtifactError, match="different encodings"):
        merge_shards(project, NAME)


def test_a_merge_takes_all_shards(capsys):
    assert main(["encode", NAME, "--merge", "--shard", "1"]) == 2
    assert capsys.readouterr().err.startswith("error: --shard 1 with --merge: ")
