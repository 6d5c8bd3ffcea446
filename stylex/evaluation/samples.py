"""Of which classes the generator makes images ([L] 4.2.3): without the classifier in training, perhaps of one alone.

[L] verified that of retinal images the model without classifier-specific training generates one class, "healthy", and
says no more. Ours, therefore: random samples are G(concat(M(z), c)), z ~ N(0, I), noise maps fixed, c the classifier's
answer to an analysed image drawn at random, as in the noise steps of training; without classifier-specific training
there is no c. Beside them the decisions on the analysed images and on their reconstructions.
"""

from __future__ import annotations

from pathlib import Path

import pandas
import torch
from torch import Tensor

from stylex.artifacts import provenance, write_table
from stylex.classifiers import Classifier, load_classifier
from stylex.config import ExperimentConfig, experiment_paths, load_experiment
from stylex.evaluation.intervals import wilson_interval
from stylex.latents.table import read_latents
from stylex.networks.model import StylexNetworks, load_stylex
from stylex.progress import progress

COLUMNS = (
    "experiment", "domain", "method", "images", "class_name", "n", "count", "fraction", "low", "high", "seed",
)  # fmt: skip


def samples(root: Path, name: str, device: str) -> None:
    """Write the experiment's samples.csv: a row a class for the images analysed, reconstructed and generated."""
    config, paths = load_experiment(root, name), experiment_paths(root, name)
    latents = read_latents(paths.latents)
    networks, classifier = load_stylex(paths.stylex_model, device), load_classifier(paths.classifier.model, device)
    random = torch.Generator().manual_seed(config.seed)
    rows = torch.randint(len(latents.ids), (config.evaluation.random_samples,), generator=random)
    z = torch.randn(len(rows), networks.config.networks.latent_dim, generator=random)
    decided = {
        "analysed": latents.logits.argmax(dim=1),
        "reconstructed": latents.reconstruction_logits.argmax(dim=1),
        "generated": decisions(networks, classifier, z, latents.logits[rows], config.evaluation.batch_size, device),
    }
    table = [row for kind, labels in decided.items() for row in shares(name, config, kind, labels, latents.class_names)]
    origin = provenance(config.digest(), config.seed, device)
    write_table(paths.samples, pandas.DataFrame(table, columns=list(COLUMNS)), origin)


@torch.inference_mode()
def decisions(
    networks: StylexNetworks, classifier: Classifier, z: Tensor, logits: Tensor, batch_size: int, device: str
) -> Tensor:
    """Return the classifier's decisions [N] int64 on the images of z [N, Z]; logits [N, classes]: what c is made of."""
    found = []
    with progress("random samples", len(z)) as counter:
        for rows in torch.arange(len(z)).split(batch_size):
            w_plus = networks.w_plus(networks.mapping(z[rows].to(device)), logits[rows].to(device))
            found.append(classifier(networks.synthesis.render(networks.synthesis.styles(w_plus))).argmax(dim=1).cpu())
            counter.advance(len(rows))
    return torch.cat(found)


def shares(
    name: str, config: ExperimentConfig, kind: str, labels: Tensor, class_names: tuple[str, ...]
) -> list[dict[str, object]]:
    """Return a row a class of samples.csv; labels [N]: decisions on images of this kind."""
    common = {"experiment": name, "domain": config.domain, "method": config.method, "images": kind, "seed": config.seed}
    rows, n = [], len(labels)
    for label, class_name in enumerate(class_names):
        count = int((labels == label).sum())
        low, high = wilson_interval(count, n)
        measured = {"class_name": class_name, "n": n, "count": count, "fraction": count / n, "low": low, "high": high}
        rows.append(common | measured)
    return rows
