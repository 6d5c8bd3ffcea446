"""What [L] compares AttFind with: coordinates selected as Wu et al. 2021 do (4.2.3), a direction in W (figure 2, (c)).

Wu, Lischinski and Shechtman (StyleSpace analysis, CVPR 2021) find what moves an attribute known by examples: delta =
styles of the exemplars, normalised by mean and standard deviation over the population; coordinates are ranked by
|mean(delta)| / sd(delta). [L] takes from it 'the normalized difference between the coordinate values on each of the
labels', top M, in a StyleSpace trained without the classifier, and says no more. Ours, therefore:

- exemplars of class y are all searched images that the classifier gives to y, where Wu et al. take a few. It is asked
  about the image itself: the reconstructions of such a model may all be of one class;
- the population is the searched images, where Wu et al. take samples of the generator; against one class, of both;
- the direction is the sign of mean(delta), and a move ends where AttFind's does, so that sufficiency is one measure;
- nothing checks that a coordinate acts locally, which Wu et al. do with a segmentation network.

GANalyze (Goetschalckx et al. 2019, equation 1): theta minimises the mean of (A(G(w + alpha theta)) - (A(G(w)) +
alpha))² over latents and random alpha. Here the assessor A is the log-odds of a class y, logit_y - logsumexp of the
others: of a probability near 0 or 1, as ours are, alpha could not be added. So alpha and A are in logits. The latents
are those of the searched images. The direction lives in W alone and c stays the image's own: with c free, the best
direction would be to give G another answer of the classifier, which is no explanation. G may take the class from c and
leave little of it to w; what a direction then fails to move is the error in the header of the file.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from math import nan
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from stylex.artifacts import provenance, save_tensors
from stylex.attfind.records import Attribute, Direction, write_attributes
from stylex.config.analysis import GanalyzeConfig
from stylex.errors import AttributesNotFoundError, ConfigError
from stylex.evaluation.counterfactuals import Run, ranked, rendered_w
from stylex.latents.table import Latents
from stylex.networks.model import StylexNetworks
from stylex.progress import progress

logger = logging.getLogger("stylex")

Assessor = Callable[[Tensor, Tensor], Tensor]
"""Maps w [n, W] and the rows [n] of the images they belong to, to A [n]."""


def baseline(root: Path, name: str, protocol: str | None = None) -> None:
    """Write the experiment's attfind/wu_2021.csv: the top attfind.max_attributes coordinates of each target class.

    The classifier's answer to a move plays no part: mean_effect and images_explained are empty. protocol: one of
    attfind.protocols; default: the main one. Raises `ConfigError` when the experiment is trained with the classifier,
    `AttributesNotFoundError` when no class has two exemplars.
    """
    run = Run.load(root, name)
    config, options = run.config, run.config.attfind
    protocol = options.known_protocol(protocol)
    if config.method != "without_cst":
        raise ConfigError(
            f"experiment '{name}' is trained with its classifier (stylex.conditioning: {config.stylex.conditioning});"
            " the selection of Wu et al. needs one with conditioning: none"
        )
    latents, layout, attributes = run.latents.under(protocol), run.networks.synthesis.layout, list[Attribute]()
    origin = provenance(config.digest(), config.seed) | {"protocol": protocol}
    for target in run.targets:
        styles, exemplars = population(latents, target, options.against)
        origin[f"exemplars {target}"] = f"{int(exemplars.sum())} of {len(exemplars)} images"
        if exemplars.sum() < 2:
            logger.warning("the classifier gives fewer than two analysed images to '%s': nothing is selected", target)
            continue
        found = ranked(target, select(styles, exemplars, options.max_attributes), layout)
        attributes += [replace(attribute, mean_effect=nan, images_explained=None) for attribute in found]
    if not attributes:
        raise AttributesNotFoundError(
            f"the classifier gives fewer than two of {int(latents.searched.sum())} images to each class; analyse more"
            " (attfind.images)"
        )
    write_attributes(run.paths.under(protocol, options.protocol).wu_2021, attributes, origin)


def population(latents: Latents, target: str, against: str | None) -> tuple[Tensor, Tensor]:
    """Return the styles [n, K] of the population, and which of its images are exemplars of `target`, [n] bool."""
    decisions = latents.logits.argmax(dim=1)
    exemplars, population = decisions == latents.class_names.index(target), latents.searched
    if against is not None:
        population = population & (exemplars | (decisions == latents.class_names.index(against)))
    return latents.styles[population], exemplars[population]


def select(styles: Tensor, exemplars: Tensor, limit: int) -> list[tuple[int, Direction]]:
    """Return the `limit` coordinates with the largest scores, in order, and which way the exemplars lie.

    styles [N, K]; exemplars [N] bool. Coordinates of score 0 are left out.
    """
    scores = exemplar_scores(styles, exemplars)
    order = scores.abs().argsort(descending=True, stable=True)[:limit].tolist()
    return [(index, Direction.TO_MAX if scores[index] > 0 else Direction.TO_MIN) for index in order if scores[index]]


def exemplar_scores(styles: Tensor, exemplars: Tensor) -> Tensor:
    """Return mean(delta) / sd(delta) over the exemplars, [K] float64; 0 for a coordinate that is constant.

    styles [N, K]; exemplars [N] bool, at least two. delta = (s - mean) / sd over all N. A coordinate that all exemplars
    share, and not all images, has an infinite score.
    """
    varies = styles.amax(dim=0) > styles.amin(dim=0)
    values = styles.double()
    delta = (values - values.mean(dim=0)) / values.std(dim=0).where(varies, 1.0)
    delta = delta[exemplars]
    constant = styles[exemplars].amax(dim=0) == styles[exemplars].amin(dim=0)
    deviation = delta.std(dim=0).masked_fill(constant, 0.0)  # exactly, whatever the mean was rounded to
    return (delta.mean(dim=0) / deviation).where(varies, 0.0)


class LearnedDirection(NamedTuple):
    """What was learned, and how well it does what was asked."""

    theta: Tensor  # [W]: w + alpha theta is meant to change A by alpha
    reach: float  # largest alpha asked for, in logits
    error: float  # mean over images and both ends of the reach of |change - alpha|, in logits; theta = 0: the reach


def ganalyze(root: Path, name: str, device: str) -> None:
    """Write the experiment's ganalyze.safetensors: theta [W]; class, reach and errors in the header."""
    run = Run.load(root, name, device)
    latents, options = run.latents, run.config.evaluation.ganalyze
    w, logits = latents.w[latents.searched].to(device), latents.logits[latents.searched].to(device)
    class_name = run.config.shown_class(latents.class_names)
    target = latents.class_names.index(class_name)
    assess = assessor(run.networks, run.classifier, logits, target)
    reach = options.reach * float(log_odds(latents.reconstruction_logits[latents.searched], target).abs().median())
    generator = torch.Generator().manual_seed(run.config.seed)
    with progress(f"ganalyze {name}", options.steps, "steps") as counter:
        found = learn_direction(assess, w, reach, options, generator, lambda: counter.advance(1))
    header = {"target_class": class_name, "reach": repr(found.reach), "error": repr(found.error)}
    save_tensors(run.paths.ganalyze, {"theta": found.theta}, header | run.origin())


def assessor(networks: StylexNetworks, classifier: nn.Module, logits: Tensor, target: int) -> Assessor:
    """Return A(G(w)): the log-odds of `target` for the image of w and of the image's own conditioning.

    logits [N, classes]: C of the analysed images, from which c comes; on the networks' device.
    """
    return lambda w, rows: log_odds(classifier(rendered_w(networks, w, logits[rows])), target)


def log_odds(logits: Tensor, target: int) -> Tensor:
    """Return log(p / (1 - p)) [N] of the probability p of a class; logits [N, classes]."""
    others = torch.cat([logits[:, :target], logits[:, target + 1 :]], dim=1)
    return logits[:, target] - others.logsumexp(dim=1)


def learn_direction(
    assess: Assessor,
    w: Tensor,
    reach: float,
    options: GanalyzeConfig,
    generator: torch.Generator,
    after_step: Callable[[], None] = lambda: None,
) -> LearnedDirection:
    """Learn theta from the latents w [N, W] with alpha ~ U(-reach, reach); `generator`: on the CPU.

    `assess` is given rows on the device of w, for which no step waits.
    """
    # What is optimised is the move at the full reach, so that the rate is in units of w and not of w a logit.
    move = torch.zeros_like(w[0], requires_grad=True)
    batches = torch.arange(len(w), device=w.device).split(options.batch_size)
    optimizer = torch.optim.Adam([move], lr=options.learning_rate * float(w.std(dim=0).mean()))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / options.steps)
    with torch.no_grad():
        start = torch.cat([assess(w[rows], rows) for rows in batches])
    for _ in range(options.steps):
        rows = torch.randint(len(w), (options.batch_size,), generator=generator).to(w.device, non_blocking=True)
        alpha = (2 * torch.rand(options.batch_size, generator=generator) - 1).to(w, non_blocking=True)
        change = assess(w[rows] + alpha[:, None] * move, rows) - start[rows]
        loss = (change / reach - alpha).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        after_step()
    theta, error = move.detach() / reach, 0.0
    with torch.no_grad():
        for rows in batches:
            for alpha in (-reach, reach):
                error += float((assess(w[rows] + alpha * theta, rows) - start[rows] - alpha).abs().sum())
    return LearnedDirection(theta, reach, error / (2 * len(w)))
