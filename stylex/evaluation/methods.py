"""The methods of the table `counterfactuals`: how each turns reconstructions into a class, by the same generator.

In StyleSpace: the list of attributes, random lists, and moves that explain the very image. What they compare with:

- `latent`: gradient descent in W until the flip, on the cross-entropy of the target and the distance to the image's w
  (Latent-CF, Balasubramanian et al. 2020; xGEM, Joshi et al. 2018). The conditioning c stays the image's own.
- `ganalyze`: along the one direction of `ganalyze.safetensors`, the first step of a line search that flips.
- `condition`: c is replaced by the mean logits of reconstructions of the target class, and w kept.
- `pixel`: what it costs to flip without meaning. An iterated gradient-sign step (Kurakin et al. 2017) in pixels, one
  level of an 8-bit image at a time, so that the first flip is that of the smallest step.

Each method ends at the flip or where it goes no further; an image is measured in its last state, as a file holds it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import combinations
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from stylex.artifacts import load_tensors
from stylex.attfind.explanations import Explainer, Step, first_of_each_class
from stylex.attfind.records import Attribute, Method, read_attributes
from stylex.classifiers import perceptual_distance
from stylex.evaluation.counterfactuals import Run, apply_moves, random_moves, ranked, rendered_w
from stylex.evaluation.sufficiency import first_flips
from stylex.latents.table import Latents
from stylex.networks.stylespace import StyleVector
from stylex.quantization import from_uint8, quantized, to_uint8

EXPLANATIONS = 3  # of one image, at the most, of which the diversity is taken
SMALLEST_SD = 1e-6  # of a coordinate of w: one that is constant is not moved


class Counterfactuals(NamedTuple):
    """n images on their way to a class, in their last states."""

    rows: Tensor  # [n] int64, of the latents
    images: Tensor  # [n, C, H, W] float32 as a file holds them, on the CPU
    moves: Tensor | None = None  # [n] int64, attributes moved until the flip, 0: never; None: no attributes are moved
    diversity: Tensor | None = None  # [n], NaN: not several explanations; None: one each was asked for


Turn = Callable[[Tensor, str], list[Counterfactuals]]
"""Turns the images of the rows [n], n > 0, into a class, once for each draw; []: the method cannot."""
Lists = Mapping[str, Sequence[Attribute]]  # by target class


def methods(run: Run, latents: Latents) -> dict[str, Turn]:
    """Return the methods of a protocol by name. Those that search each image by itself are of the main one alone."""
    limit, lists = run.config.evaluation.counterfactual_attributes, dict[str, Lists]()
    for method, path in run.attribute_files(latents.protocol).items():
        lists[method] = {target: attributes[:limit] for target, attributes in read_attributes(path).items()}
    found: dict[str, Turn] = {
        method: partial(by_list, run, latents, attributes) for method, attributes in lists.items()
    }
    found["random"] = partial(by_chance, run, latents, lists[run.config.method])
    if latents.protocol is not run.config.attfind.protocol:
        return found
    explanations = Explanations(run, latents)
    for method in (Method.SUBSET, Method.INDEPENDENT):
        found[method.value] = partial(explanations.turn, method)
    baselines = {"latent": latent, "ganalyze": ganalyze, "condition": condition, "pixel": pixel}
    return found | {name: partial(turn, run, latents) for name, turn in baselines.items()}


def by_list(run: Run, latents: Latents, lists: Lists, rows: Tensor, target: str) -> list[Counterfactuals]:
    """Move the attributes one after the other until the flip; images that never flip have all of them moved."""
    attributes = lists.get(target, [])
    first = first_flips(run, latents, rows, attributes, target)
    moves = [attributes[: k or len(attributes)] for k in first.tolist()]
    styles = apply_moves(latents, rows, moves, run.config.attfind.shift)
    return [Counterfactuals(rows, run.images(styles), first)]


def by_chance(run: Run, latents: Latents, lists: Lists, rows: Tensor, target: str) -> list[Counterfactuals]:
    """Move as many random coordinates in random directions, once for each of evaluation.counterfactual_lists lists."""
    generator, layout = torch.Generator().manual_seed(run.config.seed), run.networks.synthesis.layout
    found: list[Counterfactuals] = []
    for _ in range(run.config.evaluation.counterfactual_lists):
        moves = ranked(target, random_moves(layout, len(lists.get(target, [])), generator), layout)
        found += by_list(run, latents, {target: moves}, rows, target)
    return found


class Explained(NamedTuple):
    """n images that are explained one by one towards a class, and what every single move does to each."""

    rows: Tensor  # [n] int64, of the latents
    styles: StyleVector
    targets: Tensor  # [n] int64, all the same
    alone: Tensor  # [n, 2, K], of `Explainer.moved_alone`


class Explanations:
    """Turns images by moves that explain the very image; the effects of single moves serve both methods."""

    def __init__(self, run: Run, latents: Latents) -> None:
        self.run, self.latents = run, latents
        self.explainer = Explainer(run.networks, run.classifier, latents.extremes, run.config.attfind, run.device)
        self._known: dict[str, Explained] = {}

    def turn(self, method: Method, rows: Tensor, target: str) -> list[Counterfactuals]:
        """Turn evaluation.counterfactual_searches images of `rows`, evenly over the classes.

        Independent: by the first coordinate that flips the image alone, or else the one with the largest effect.
        Subset: by all of the explanation; the first evaluation.counterfactual_diversity images have several, whose
        diversity is taken.
        """
        options = self.run.config.evaluation
        rows, styles, targets, alone = self._explained(rows, target)
        found = self.explainer.explain(styles, targets, method, options.counterfactual_attributes, alone=alone)
        if method is Method.INDEPENDENT:
            found = [([step for step in steps if step.flipped] or steps)[:1] for steps in found]
        images = self._images(rows, found)
        moves = torch.tensor([len(steps) if flips(steps) else 0 for steps in found], dtype=torch.long)
        if method is Method.INDEPENDENT:
            return [Counterfactuals(rows, images, moves)]
        several = first_of_each_class(self.latents.labels[rows], options.counterfactual_diversity)
        diversity = torch.full((len(rows),), torch.nan)
        chosen = Explained(rows[several], styles.select(several), targets[several], alone[several])
        diversity[several] = self._diversity(chosen, [found[row] for row in several.tolist()], images[several])
        return [Counterfactuals(rows, images, moves, diversity)]

    def _explained(self, rows: Tensor, target: str) -> Explained:
        if target not in self._known:
            count = self.run.config.evaluation.counterfactual_searches
            rows = rows[first_of_each_class(self.latents.labels[rows], count)]
            styles = self.latents.style_vector(rows).to(self.run.device)
            targets = torch.full((len(rows),), self.latents.class_names.index(target), device=self.run.device)
            self._known[target] = Explained(rows, styles, targets, self.explainer.moved_alone(styles, targets))
        return self._known[target]

    def _images(self, rows: Tensor, moves: Sequence[Sequence[Step]]) -> Tensor:
        return self.run.images(apply_moves(self.latents, rows, moves, self.run.config.attfind.shift))

    def _diversity(self, explained: Explained, found: list[list[Step]], images: Tensor) -> Tensor:
        """Return the mean perceptual distance between up to `EXPLANATIONS` of each image that share no coordinate, [N].

        found, images: the first, by subset selection. An image is explained again, without the coordinates that earlier
        explanations moved, as long as these flip it; NaN where fewer than two do.
        """
        rows, styles, targets, alone = explained
        several = [[image] if flips(steps) else [] for steps, image in zip(found, images, strict=True)]
        barred = torch.zeros_like(styles.space, dtype=torch.bool)
        limit = self.run.config.evaluation.counterfactual_attributes
        for number in range(1, EXPLANATIONS):
            for row, steps in enumerate(found):
                barred[row, [step.style_index for step in steps]] = True
            left = [row for row, explanations in enumerate(several) if len(explanations) == number]
            if not left:
                break
            some, found = styles.select(torch.tensor(left)), [[] for _ in found]
            more = self.explainer.explain(some, targets[left], Method.SUBSET, limit, barred[left], alone[left])
            for row, steps, image in zip(left, more, self._images(rows[left], more), strict=True):
                found[row] = steps
                several[row] += [image] if flips(steps) else []
        return torch.tensor([self._spread(explanations) for explanations in several])

    @torch.inference_mode()
    def _spread(self, images: Sequence[Tensor]) -> float:
        """Return the mean perceptual distance over all pairs of images [C, H, W]; NaN for fewer than two."""
        if len(images) < 2:
            return float("nan")
        features = self.run.perceptual.features(torch.stack(list(images)).to(self.run.device))
        pairs = torch.tensor(list(combinations(range(len(images)), 2)))
        first, second = ([scale[side] for scale in features] for side in pairs.T)
        return float(perceptual_distance(first, second).mean())


def flips(steps: Sequence[Step]) -> bool:
    """Whether an explanation ends in a flip."""
    return bool(steps) and steps[-1].flipped


def latent(run: Run, latents: Latents, rows: Tensor, target: str) -> list[Counterfactuals]:
    """Descend in W; images that never flip are left where the last step put them."""
    options, label = run.config.evaluation.baselines, latents.class_names.index(target)
    sd = latents.w[latents.searched].std(dim=0)
    scale = sd.where(sd > SMALLEST_SD, 0.0).to(run.device)
    parts = []
    for part in rows.split(run.config.evaluation.batch_size):
        w, logits = latents.w[part].to(run.device), latents.logits[part].to(run.device)
        move = torch.zeros_like(w, requires_grad=True)  # in standard deviations
        optimizer = torch.optim.Adam([move], lr=options.latent_rate)
        states, left = run.images(latents.style_vector(part)).to(w.device), torch.arange(len(part), device=w.device)
        for step in range(options.latent_steps + 1):
            images = rendered_w(run.networks, w[left] + move[left] * scale, logits[left])
            answers = run.classifier(images)
            states[left] = quantized(images.detach())
            stays = answers.argmax(dim=1) != label
            if step == options.latent_steps or not stays.any():
                break
            distance = move[left][stays].square().mean(dim=1)
            wanted = torch.full_like(left[stays], label)
            loss = cross_entropy(answers[stays], wanted, reduction="sum") + options.latent_distance * distance.sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            left = left[stays]
        parts.append(states.cpu())
    return [Counterfactuals(rows, torch.cat(parts))]


@torch.inference_mode()
def ganalyze(run: Run, latents: Latents, rows: Tensor, target: str) -> list[Counterfactuals]:
    """Go along theta, from one step of the line search to the next, until the flip or the end of its reach.

    It was learned to raise the log-odds of one class; the other of two classes is the opposite way, one of several no
    way at all.
    """
    tensors, header = load_tensors(run.paths.ganalyze)
    if header["target_class"] != target and len(latents.class_names) > 2:
        return []
    sign, steps = 1.0 if header["target_class"] == target else -1.0, run.config.evaluation.baselines.ganalyze_steps
    theta = tensors["theta"] * sign * float(header["reach"]) / steps
    states, left = run.images(latents.style_vector(rows)), torch.arange(len(rows))
    for step in range(1, steps + 1):
        images, decisions = _of_w(run, latents.w[rows[left]] + step * theta, latents.logits[rows[left]])
        states[left] = images
        left = left[decisions != latents.class_names.index(target)]
        if not len(left):
            break
    return [Counterfactuals(rows, states)]


@torch.inference_mode()
def condition(run: Run, latents: Latents, rows: Tensor, target: str) -> list[Counterfactuals]:
    """Give c the mean logits of searched reconstructions that are of the target class, if there are any."""
    label = latents.class_names.index(target)
    of_target = latents.searched & (latents.reconstruction_logits.argmax(dim=1) == label)
    if run.networks.condition_dim == 0 or not of_target.any():
        return []
    logits = latents.reconstruction_logits[of_target].mean(dim=0).expand(len(rows), -1)
    return [Counterfactuals(rows, _of_w(run, latents.w[rows], logits)[0])]


def pixel(run: Run, latents: Latents, rows: Tensor, target: str) -> list[Counterfactuals]:
    """Change all pixels by one level at each step, against the gradient of the target's cross-entropy."""
    label, levels = latents.class_names.index(target), run.config.evaluation.baselines.pixel_levels
    parts = []
    for images in run.images(latents.style_vector(rows)).split(run.config.evaluation.batch_size):
        states, left = to_uint8(images).to(torch.int16).to(run.device), torch.arange(len(images), device=run.device)
        for level in range(levels + 1):
            shown = from_uint8(states[left]).requires_grad_()
            answers = run.classifier(shown)
            stays = answers.argmax(dim=1) != label
            if level == levels or not stays.any():
                break
            loss = cross_entropy(answers, torch.full_like(left, label), reduction="sum")
            (gradient,) = torch.autograd.grad(loss, shown)
            left, sign = left[stays], gradient[stays].sign().to(torch.int16)
            states[left] = (states[left] - sign).clamp(0, 255)
        parts.append(from_uint8(states).cpu())
    return [Counterfactuals(rows, torch.cat(parts))]


def _of_w(run: Run, w: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    """Return the images [n, C, H, W] of w [n, W] under the logits [n, classes], and the decisions on them [n]."""
    images, decisions = [], []
    for rows in torch.arange(len(w)).split(run.config.evaluation.batch_size):
        part = rendered_w(run.networks, w[rows].to(run.device), logits[rows].to(run.device))
        images.append(part.cpu())
        decisions.append(run.classifier(part).argmax(dim=1).cpu())
    return torch.cat(images), torch.cat(decisions)
