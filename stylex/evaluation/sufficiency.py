"""Sufficiency ([L] 4.2.3, Table 3): the fraction of images whose decision flips when the top attributes are applied."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas
import torch
from torch import Tensor

from stylex.artifacts import provenance, write_table
from stylex.attfind.records import Attribute, read_attributes
from stylex.classifiers import Classifier, load_classifier
from stylex.config import ExperimentConfig, experiment_paths, load_experiment
from stylex.evaluation.counterfactuals import apply_attributes, rendered
from stylex.evaluation.intervals import wilson_interval
from stylex.latents.table import Latents, read_latents
from stylex.networks.model import load_stylex
from stylex.networks.synthesis import Synthesis
from stylex.progress import progress

COLUMNS = (
    "experiment", "domain", "method", "target_class", "k", "shift", "n", "flipped", "fraction", "low", "high", "seed",
    "published",
)  # fmt: skip


def sufficiency(root: Path, name: str, device: str) -> None:
    """Write the experiment's sufficiency.csv: a row for each k and target class, and `both`, which pools them."""
    config, paths = load_experiment(root, name), experiment_paths(root, name)
    latents, attributes = read_latents(paths.latents), read_attributes(paths.attributes)
    synthesis = load_stylex(paths.stylex_model, device).synthesis
    classifier = load_classifier(paths.classifier.model, device)
    flips: dict[str, Tensor] = {}
    with progress(f"sufficiency {name}", len(latents.class_names), "classes") as counter:
        for target, class_name in enumerate(latents.class_names):
            found = attributes.get(class_name, [])
            flips[class_name] = flips_of(
                synthesis, classifier, latents, found, target, config.attfind.shift, config.evaluation.batch_size
            )
            counter.advance(1)
    frame = pandas.DataFrame(sufficiency_rows(name, config, flips), columns=list(COLUMNS))
    write_table(paths.sufficiency, frame, provenance(config.digest(), config.seed, device))


def flips_of(
    synthesis: Synthesis,
    classifier: Classifier,
    latents: Latents,
    attributes: Sequence[Attribute],
    target: int,
    shift: float,
    batch_size: int,
) -> Tensor:
    """Return [len(attributes) + 1, n] bool: entry [k, i] says that image i became `target` at some k' <= k.

    The n images are those whose reconstruction is not classified as `target`; row 0 is all False.
    """
    rows = torch.nonzero(latents.reconstruction_logits.argmax(dim=1) != target).flatten()
    flipped = [torch.zeros(len(rows), dtype=torch.bool)]
    for k in range(1, len(attributes) + 1):
        styles = apply_attributes(latents, rows, attributes[:k], shift)
        decisions = [classifier(images).argmax(dim=1).cpu() for images in rendered(synthesis, styles, batch_size)]
        flipped.append(flipped[-1] | (torch.cat(decisions) == target) if decisions else flipped[-1])
    return torch.stack(flipped)


def sufficiency_rows(name: str, config: ExperimentConfig, flips: dict[str, Tensor]) -> list[dict[str, object]]:
    """Return the rows of sufficiency.csv; `flips` by target class as `flips_of` gives them.

    When Algorithm 1 found fewer than k attributes, the row of k applies those it found.
    """
    common = {
        "experiment": name,
        "domain": config.domain,
        "method": "without_cst" if config.stylex.conditioning == "none" else "stylex",
        "shift": config.attfind.shift,
        "seed": config.seed,
        "published": None,
    }
    rows = []
    for k in config.evaluation.sufficiency_k:
        counts = {target: (int(flip[min(k, len(flip) - 1)].sum()), flip.shape[1]) for target, flip in flips.items()}
        counts["both"] = (sum(flipped for flipped, _ in counts.values()), sum(n for _, n in counts.values()))
        for target, (flipped, n) in counts.items():
            low, high = wilson_interval(flipped, n)
            fraction = flipped / n if n else None
            measured = {"target_class": target, "k": k, "n": n, "flipped": flipped, "fraction": fraction}
            rows.append(common | measured | {"low": low, "high": high})
    return rows
