"""Of which classes the generator makes images ([L] 4.2.3): without the classifier in training, perhaps of one alone.

[L] verified that of retinal images the model without classifier-specific training generates one class, "healthy", and
says no more. Ours, therefore: random samples are G(concat(M(z), c)), z ~ N(0, I), noise maps fixed, c the classifier's
answer to an analysed image drawn at random, as in the noise steps of training; without classifier-specific training
there is no c. Beside them the decisions on the analysed images and on their reconstructions.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from stylex.config import ExperimentConfig
from stylex.evaluation.counterfactuals import Run, rendered_w
from stylex.evaluation.intervals import wilson_interval
from stylex.progress import progress

COLUMNS = (
    "experiment", "domain", "method", "images", "class_name", "n", "count", "fraction", "low", "high", "seed",
)  # fmt: skip


def samples(root: Path, name: str, device: str) -> None:
    """Write samples.csv: one row per class for the images analysed, reconstructed and generated."""
    run, generator = Run.load(root, name, device), torch.Generator()
    latents, options = run.analysed, run.config.evaluation
    generator.manual_seed(run.config.seed)
    rows = torch.randint(len(latents.ids), (options.random_samples,), generator=generator)
    z = torch.randn(len(rows), run.networks.config.networks.latent_dim, generator=generator)
    decided = {"analysed": latents.logits.argmax(dim=1), "reconstructed": latents.reconstruction_logits.argmax(dim=1)}
    decided["generated"] = decisions(run, z, latents.logits[rows])
    table = [r for kind, labels in decided.items() for r in shares(name, run.config, kind, labels, latents.class_names)]
    run.write(run.paths.samples, table, COLUMNS)


@torch.inference_mode()
def decisions(run: Run, z: Tensor, logits: Tensor) -> Tensor:
    """Return the classifier's decisions [N] int64 on the images of z [N, Z]; logits [N, classes]: what c is made of."""
    found = []
    with progress("random samples", len(z)) as counter:
        for rows in torch.arange(len(z)).split(run.config.evaluation.batch_size):
            w = run.networks.mapping(z[rows].to(run.device))
            images = rendered_w(run.networks, w, logits[rows].to(run.device))
            found.append(run.classifier(images).argmax(dim=1).cpu())
            counter.advance(len(rows))
    return torch.cat(found)


def shares(
    name: str, config: ExperimentConfig, kind: str, labels: Tensor, class_names: tuple[str, ...]
) -> list[dict[str, object]]:
    """Return one row per class of samples.csv; labels [N]: decisions on images of this kind."""
    common = {"experiment": name, "domain": config.domain, "method": config.method, "images": kind, "seed": config.seed}
    rows, n = [], len(labels)
    for label, class_name in enumerate(class_names):
        count = int((labels == label).sum())
        low, high = wilson_interval(count, n)
        measured = {"class_name": class_name, "n": n, "count": count, "fraction": count / n, "low": low, "high": high}
        rows.append(common | measured)
    return rows
