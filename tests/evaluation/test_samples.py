"""The classes of random samples, against images generated one at a time."""

import pytest
import torch

from stylex.artifacts import load_tensors, read_json, read_table, save_tensors
from stylex.evaluation.counterfactuals import Run
from stylex.evaluation.intervals import wilson_interval
from stylex.evaluation.samples import COLUMNS, samples
from stylex.latents.table import write_latents
from tests.builders import latents_of, save_random_network

SAMPLES, IMAGES = 30, 6


@pytest.fixture(params=["mnist", "mnist-without-cst"])
def run(request, root, small_experiment) -> Run:
    """Latents of random networks, conditioned or not."""
    run = small_experiment(root, request.param, evaluation={"random_samples": SAMPLES, "batch_size": 7})
    save_random_network(run.paths.classifier.model, "classifier", ("3", "5"))
    logits, size = torch.randn(IMAGES, 2), run.networks.synthesis.layout.size
    columns = {"w": torch.zeros(IMAGES, 8), "styles": torch.zeros(IMAGES, size)}
    write_latents(run.paths.latents, latents_of(IMAGES, logits=logits, reconstruction_logits=-logits, **columns))
    return run


def plain_decisions(run: Run) -> list[int]:
    """Decide about the samples one at a time, with the bias that splits them; it is written to the classifier."""
    random = torch.Generator().manual_seed(run.config.seed)
    images = torch.randint(IMAGES, (SAMPLES,), generator=random).tolist()
    difference = []
    for row, z in zip(images, torch.randn(SAMPLES, 8, generator=random), strict=True):
        condition = run.latents.logits[row].softmax(0)[: 0 if run.config.method == "without_cst" else None]
        w_plus = torch.cat([run.networks.mapping(z[None])[0], condition])
        answer = run.classifier(run.networks.synthesis.render(run.networks.synthesis.styles(w_plus[None])))[0]
        difference.append(float(answer[1] - answer[0]))
    border = sum(sorted(difference)[SAMPLES // 3 - 1 : SAMPLES // 3 + 1]) / 2  # of no sample: batches differ in a bit
    tensors, header = load_tensors(run.paths.classifier.model)
    tensors["head.bias"][1] -= border
    save_tensors(run.paths.classifier.model, tensors, header)
    return [int(value >= border) for value in difference]


def test_decisions_are_counted_for_each_class_and_kind_of_image(run, root):
    decided = plain_decisions(run)
    samples(root, run.paths.name, "cpu")
    table = read_table(run.paths.samples, ("images",))
    assert tuple(table.columns) == COLUMNS
    second = int((run.latents.logits[:, 1] > run.latents.logits[:, 0]).sum())
    expected = {"analysed": (IMAGES - second, second), "reconstructed": (second, IMAGES - second)}
    expected["generated"] = (decided.count(0), decided.count(1))
    assert 0 < decided.count(0) < SAMPLES
    for kind, counts in expected.items():
        rows = table[table["images"] == kind]
        assert rows["class_name"].tolist() == ["3", "5"] and rows["count"].tolist() == list(counts)
        for row in rows.to_dict("records"):
            assert row["n"] == sum(counts) and row["fraction"] == pytest.approx(row["count"] / row["n"])
            assert (row["low"], row["high"]) == pytest.approx(wilson_interval(row["count"], row["n"]))
    origin = read_json(run.paths.samples.with_suffix(".provenance.json"))
    assert origin["config_digest"] == run.config.digest()


def test_a_generator_of_one_image_is_seen_to_collapse(run, root):
    tensors, header = load_tensors(run.paths.stylex_model)
    constant = {name: value * ("affine.weight" not in name) for name, value in tensors.items()}
    save_tensors(run.paths.stylex_model, constant, header)
    samples(root, run.paths.name, "cpu")
    table = read_table(run.paths.samples, ("images",))
    assert sorted(table[table["images"] == "generated"]["count"]) == [0, SAMPLES]
    assert (table[table["images"] == "analysed"]["count"] > 0).all()
