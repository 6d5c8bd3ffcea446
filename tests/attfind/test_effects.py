"""The stage `effects`: shards, kills and what a part must match, on small random networks."""

import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from stylex.attfind.effects import compute_effects, shard_groups
from stylex.attfind.records import read_effects
from stylex.classifiers import load_classifier
from stylex.classifiers.frozen import load_network, save_network
from stylex.config import ExperimentPaths
from stylex.config.base import Protocol
from stylex.errors import ArtifactError, AtWorkError, ConfigError
from stylex.latents.table import read_latents, write_latents
from stylex.locks import exclusive
from stylex.networks.model import load_stylex, save_stylex
from tests.builders import configure, latents_of, narrow, save_random_network

NAME = "mnist"
IMAGES = 23


def options(root, **attfind):
    common = {"images": IMAGES, "threshold": 0.05, "protocols": ["same_images"], "precision": "float32"}
    configure(root, NAME, attfind=common | {"batch_size": 256} | attfind)


@pytest.fixture
def project(root):
    networks, paths = narrow(root, NAME), ExperimentPaths(root, NAME)
    options(root)
    save_random_network(paths.classifier.model, "classifier", ("3", "5"))
    with torch.no_grad():
        w, logits = torch.randn(IMAGES, 8), torch.randn(IMAGES, 2)
        styles = networks.synthesis.styles(networks.w_plus(w, logits))
    columns = {"w": w, "styles": styles.space, "to_rgb_styles": styles.to_rgb}
    columns |= {"logits": logits, "reconstruction_logits": logits, "labels": torch.arange(IMAGES) % 2}
    write_latents(paths.latents, latents_of(IMAGES, **columns))
    return root


def measured(root, shards):
    options(root, shards=shards)
    for shard in range(shards):
        compute_effects(root, NAME, "cpu", shard)
    return read_effects(ExperimentPaths(root, NAME).effects_shards(shards))


def same(one, other):
    tensors = (one.base_logits, other.base_logits), (one.effect, other.effect)
    return one.ids == other.ids and all(torch.equal(*pair) for pair in tensors)


def test_any_number_of_shards_gives_the_same_bits(project):
    whole = measured(project, 1)
    assert len(whole.ids) == IMAGES and whole.effect.abs().max() > 0.01
    for shards in (2, 7):
        assert same(measured(project, shards), whole)


def test_held_out_the_half_that_is_searched_is_measured_towards_its_own_extremes(project):
    whole = measured(project, 1)
    options(project, protocols=["held_out", "same_images"])
    paths = ExperimentPaths(project, NAME)
    compute_effects(project, NAME, "cpu")
    compute_effects(project, NAME, "cpu", protocol=Protocol.SAME_IMAGES)
    half = read_effects([paths.effects()])
    assert same(read_effects([paths.under("same_images", "held_out").effects()]), whole)
    latents = read_latents(paths.latents).under(Protocol.HELD_OUT)
    assert half.ids == [one for one, searched in zip(latents.ids, latents.searched, strict=True) if searched]
    assert half.header.minima == latents.styles[latents.searched].amin(0).tolist() != whole.header.minima
    # A coordinate whose extremes lie in that half moves as it does among all images.
    both = (latents.minima == latents.styles.amin(0)) & (latents.maxima == latents.styles.amax(0))
    assert 0 < both.sum() < len(both)
    torch.testing.assert_close(half.effect[:, :, both], whole.effect[latents.searched][:, :, both], rtol=0, atol=1e-4)


def test_shards_hold_whole_groups_and_every_image_once():
    for shards in (1, 2, 7, 30):
        groups = [group for shard in range(shards) for group in shard_groups(23, 4, shard, shards)]
        assert [image for group in groups for image in group] == list(range(23))
        assert [len(group) for group in groups] == [4, 4, 4, 4, 4, 3]


KILLED = """
import sys
from pathlib import Path
from stylex.attfind import effects
write = effects.write_part
def slow(path, identity, rows):
    write(path, identity, rows)
    print(int(path.name[:7]), flush=True)
effects.write_part = slow
if sys.argv[2:]:
    effects.code_digest = lambda *modules, without: sys.argv[2]
effects.compute_effects(Path(sys.argv[1]), "mnist", "cpu", 0)
"""


def killed_after_a_group(project, *code):
    """Measure one more group and be killed; return its first image. `code`: the digest that the code shall have."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", KILLED, str(project), *code]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    first_image = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return first_image


def test_killed_at_any_group_it_goes_on_and_ends_with_the_same_bits(project):
    whole = measured(project, 1)
    path = ExperimentPaths(project, NAME).effects()
    path.unlink()
    done = []
    for _ in range(3):
        done.append(killed_after_a_group(project))
        assert not path.exists()
    assert done == sorted(set(done)), "a finished group is not measured again"
    assert same(measured(project, 1), whole)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name], "parts are gone when the shard is there"


def test_parts_of_other_options_and_torn_ones_are_measured_again(project):
    whole = measured(project, 1)
    parts = ExperimentPaths(project, NAME).effects().with_suffix(".parts")
    options(project, shift=0.5)
    killed_after_a_group(project)
    assert list(parts.iterdir())
    assert same(measured(project, 1), whole)
    killed_after_a_group(project)
    (first, *_) = sorted(parts.glob("*.safetensors"))
    first.write_bytes(first.read_bytes()[:-100])
    assert same(measured(project, 1), whole)


def test_parts_of_the_same_content_are_used_whatever_its_title_and_origin_are(project):
    paths = ExperimentPaths(project, NAME)
    assert killed_after_a_group(project) == 0
    configure(project, NAME, title="Another")
    write_latents(paths.latents, replace(read_latents(paths.latents), provenance={"commit": "another"}))
    save_stylex(paths.stylex_model, load_stylex(paths.stylex_model), {"commit": "another"})
    network, description = load_network(paths.classifier.model, "classifier")
    save_network(paths.classifier.model, network, description, {"commit": "another"})
    assert killed_after_a_group(project) > 0
    assert killed_after_a_group(project, "of other code") == 0


def test_what_the_experiment_has_not_is_refused(project):
    with pytest.raises(ArtifactError, match=r"shard 1 does not exist: attfind.shards of mnist is 1"):
        compute_effects(project, NAME, "cpu", 1)
    with pytest.raises(ConfigError, match="protocol 'held_out' is none of attfind.protocols: same_images"):
        compute_effects(project, NAME, "cpu", protocol=Protocol.HELD_OUT)
    paths = ExperimentPaths(project, NAME)
    latents = read_latents(paths.latents)
    write_latents(paths.latents, replace(latents, styles=latents.styles[:, 1:]))
    with pytest.raises(ArtifactError, match=r"latents\.parquet has \d+ styles, the network \d+; encode again"):
        compute_effects(project, NAME, "cpu")


def test_shards_measured_differently_are_not_merged(project):
    measured(project, 2)
    options(project, shards=2, shift=0.5)
    compute_effects(project, NAME, "cpu", 1)
    with pytest.raises(ArtifactError, match="were measured differently; delete both"):
        read_effects(ExperimentPaths(project, NAME).effects_shards(2))


def test_the_discriminator_is_asked_with_what_the_classifier_says_of_each_image(project):
    options(project, discriminator_filter={"change": 1.0, "effect": 0.0, "images": 1})
    compute_effects(project, NAME, "cpu", 0)
    effects = read_effects([ExperimentPaths(project, NAME).effects()])
    assert effects.discriminator_change.shape == effects.effect.shape[:3]
    paths = ExperimentPaths(project, NAME)
    networks, classifier = load_stylex(paths.stylex_model), load_classifier(paths.classifier.model)
    latents, row, index = read_latents(paths.latents), 4, 11
    with torch.no_grad():
        own = latents.logits[row : row + 1].softmax(1)
        before = networks.discriminator(networks.synthesis.render(latents.style_vector(torch.tensor([row]))), own)
        changed = networks.synthesis.render(latents.moved(torch.tensor([row]), [(index, 1)], shift=1.0))
        after = networks.discriminator(changed, classifier(changed).softmax(1))
        alike = networks.discriminator(changed, own)
    expected = (after - before).abs()[0]
    assert (alike - before).abs()[0].item() != pytest.approx(expected.item(), abs=1e-4), "the condition must count"
    assert effects.discriminator_change[row, 1, index].item() == pytest.approx(expected.item(), abs=1e-5)
    assert expected > 1e-4


def test_the_screened_engine_writes_what_it_measured_and_how_much_that_was(project):
    whole = measured(project, 1)
    options(project, engine="screened")
    compute_effects(project, NAME, "cpu")
    screened = read_effects([ExperimentPaths(project, NAME).effects()])
    known = ~screened.effect.isnan()
    assert screened.ids == whole.ids and 0 < known.sum() < known.numel()
    torch.testing.assert_close(screened.effect[known], whole.effect[known], rtol=0, atol=5e-4)
    moves = known[..., 0]
    origin = screened.header.provenance
    assert origin["engine"] == "screened" and origin["confidence"] == "0.95"
    assert origin["evaluations"] == f"{moves.sum()} of {moves.numel()}"
    complete, bounded = int(origin["moves measured on all images of a class"]), int(origin["moves only bounded"])
    assert complete + bounded == 2 * moves[0].numel() and bounded > 0


def test_a_second_process_that_measures_the_same_shard_is_refused_and_the_parts_stay(project):
    killed_after_a_group(project)
    parts = ExperimentPaths(project, NAME).effects().with_suffix(".parts")
    before = sorted(parts.glob("*.safetensors"))
    with (
        exclusive(parts / "lock", "it is being done"),
        pytest.raises(AtWorkError, match=f"the effects of '{NAME}' are being measured by process {os.getpid()} on "),
    ):
        compute_effects(project, NAME, "cpu")
    assert before and sorted(parts.glob("*.safetensors")) == before
    compute_effects(project, NAME, "cpu")
    assert not parts.exists()
