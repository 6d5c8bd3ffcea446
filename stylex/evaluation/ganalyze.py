"""GANalyze: one direction in W along which the classifier's answer changes ([L] figure 2, (c)).

After Goetschalckx et al. 2019, equation 1: theta minimises the mean of (A(G(w + alpha theta)) - (A(G(w)) + alpha))²
over latents and random alpha. Here the assessor A is the log-odds of a class y, logit_y - logsumexp of the others: of a
probability near 0 or 1, as ours are, alpha could not be added. So alpha and A are in logits.

The latents are those of the searched images, the ones that AttFind sees. G takes concat(w, c(x)). The direction lives
in W alone and c stays the image's own: with c free, the best direction would be to tell G another answer of the
classifier, which is no explanation. The other side of it: G may take the class from c and leave little of it to w; what
a direction then fails to move, the header of the file says: the error beside the reach.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from stylex.artifacts import provenance, save_tensors
from stylex.classifiers import load_classifier
from stylex.config import experiment_paths, load_experiment
from stylex.config.analysis import GanalyzeConfig
from stylex.latents.table import read_latents
from stylex.networks.model import StylexNetworks, load_stylex
from stylex.progress import progress

Assessor = Callable[[Tensor, Tensor], Tensor]
"""Maps w [n, W] and the rows [n] of the images they belong to, to A [n]."""


class LearnedDirection(NamedTuple):
    """What was learned, and how well it does what was asked."""

    theta: Tensor  # [W]: w + alpha theta is meant to change A by alpha
    reach: float  # largest alpha asked for, in logits
    error: float  # mean over images and both ends of the reach of |change - alpha|, in logits; theta = 0: the reach


def ganalyze(root: Path, name: str, device: str) -> None:
    """Write the experiment's ganalyze.safetensors: theta [W]; class, reach and errors in the header."""
    config, paths = load_experiment(root, name), experiment_paths(root, name)
    latents, options = read_latents(paths.latents).under(config.attfind.protocol), config.evaluation.ganalyze
    w, logits = latents.w[latents.searched].to(device), latents.logits[latents.searched].to(device)
    class_name = config.shown_class(latents.class_names)
    target = latents.class_names.index(class_name)
    networks, classifier = load_stylex(paths.stylex_model, device), load_classifier(paths.classifier.model, device)
    assess = assessor(networks, classifier, logits, target)
    reach = options.reach * float(log_odds(latents.reconstruction_logits[latents.searched], target).abs().median())
    random = torch.Generator().manual_seed(config.seed)
    with progress(f"ganalyze {name}", options.steps, "steps") as counter:
        found = learn_direction(assess, w, reach, options, random, lambda: counter.advance(1))
    header = {"target_class": class_name, "reach": repr(found.reach), "error": repr(found.error)}
    save_tensors(paths.ganalyze, {"theta": found.theta}, header | provenance(config.digest(), config.seed, device))


def assessor(networks: StylexNetworks, classifier: nn.Module, logits: Tensor, target: int) -> Assessor:
    """Return A(G(w)): the log-odds of `target` for the image of w and of the image's own conditioning.

    logits [N, classes]: C of the analysed images, from which c comes; on the networks' device.
    """

    def assess(w: Tensor, rows: Tensor) -> Tensor:
        styles = networks.synthesis.styles(networks.w_plus(w, logits[rows.to(logits.device)]))
        return log_odds(classifier(networks.synthesis.render(styles)), target)

    return assess


def log_odds(logits: Tensor, target: int) -> Tensor:
    """Return log(p / (1 - p)) [N] of the probability p of a class; logits [N, classes]."""
    others = torch.cat([logits[:, :target], logits[:, target + 1 :]], dim=1)
    return logits[:, target] - others.logsumexp(dim=1)


def learn_direction(
    assess: Assessor,
    w: Tensor,
    reach: float,
    options: GanalyzeConfig,
    random: torch.Generator,
    after_step: Callable[[], None] = lambda: None,
) -> LearnedDirection:
    """Learn theta from the latents w [N, W] with alpha ~ U(-reach, reach); `random`: a generator on the CPU."""
    # What is optimised is the move at the full reach, so that the rate is in units of w and not of w a logit.
    move = torch.zeros_like(w[0], requires_grad=True)
    rate = options.learning_rate * float(w.std(dim=0).mean())
    optimizer = torch.optim.Adam([move], lr=rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / options.steps)
    with torch.no_grad():
        start = torch.cat([assess(w[rows], rows) for rows in batches(len(w), options.batch_size)])
    for _ in range(options.steps):
        rows = torch.randint(len(w), (options.batch_size,), generator=random)
        alpha = (2 * torch.rand(options.batch_size, generator=random) - 1).to(w)
        change = assess(w[rows] + alpha[:, None] * move, rows) - start[rows]
        loss = (change / reach - alpha).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        after_step()
    theta = move.detach() / reach
    return LearnedDirection(theta, reach, error_at_the_ends(assess, w, start, theta, reach, options.batch_size))


@torch.no_grad()
def error_at_the_ends(
    assess: Assessor, w: Tensor, start: Tensor, theta: Tensor, reach: float, batch_size: int
) -> float:
    """Return the mean of |A(w + alpha theta) - A(w) - alpha| over all latents and alpha = -reach, reach."""
    total = 0.0
    for rows in batches(len(w), batch_size):
        for alpha in (-reach, reach):
            change = assess(w[rows] + alpha * theta, rows) - start[rows]
            total += float((change - alpha).abs().sum())
    return total / (2 * len(w))


def batches(count: int, size: int) -> tuple[Tensor, ...]:
    """Return the rows 0 … count - 1, at most `size` at a time."""
    return torch.arange(count).split(size)
