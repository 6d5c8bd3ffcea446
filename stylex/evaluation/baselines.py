"""Other ways to a counterfactual, from the same reconstructions by the same generator: what StylEx is held against.

- `latent`: gradient descent in W until the flip, on the cross-entropy of the target and the distance to the image's w
  (Latent-CF, Balasubramanian et al. 2020; xGEM, Joshi et al. 2018). The conditioning c stays the image's own.
- `ganalyze`: along the one direction of `ganalyze.safetensors`, the first step of a line search that flips.
- `condition`: c is replaced by the mean logits of reconstructions of the target class, and w kept.
- `pixel`: what it costs to flip without meaning. An iterated gradient-sign step (Kurakin et al. 2017) in pixels, one
  level of an 8-bit image a time, so that the first flip is that of the smallest step.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from stylex.artifacts import load_tensors
from stylex.evaluation.turning import Model, Turned
from stylex.latents.table import Latents
from stylex.quantization import from_uint8, quantized, to_uint8

SMALLEST_SD = 1e-6  # of a coordinate of w: one that is constant is not moved


def latent(model: Model, latents: Latents, rows: Tensor, target: str) -> Turned:
    """Descend in W; images that never flip are left where the last step put them."""
    options, label = model.config.evaluation.baselines, latents.class_names.index(target)
    sd = latents.w[latents.searched].std(dim=0)
    scale = sd.where(sd > SMALLEST_SD, 0.0).to(model.device)
    parts = []
    for part in rows.split(model.batch_size):
        w, logits = latents.w[part].to(model.device), latents.logits[part].to(model.device)
        move = torch.zeros_like(w, requires_grad=True)  # in standard deviations
        optimizer = torch.optim.Adam([move], lr=options.latent_rate)
        states, left = model.images(latents.style_vector(part)).to(w.device), torch.arange(len(part), device=w.device)
        for step in range(options.latent_steps + 1):
            images = _rendered(model, w[left] + move[left] * scale, logits[left])
            answers = model.classifier(images)
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
    return Turned(rows, torch.cat(parts))


@torch.inference_mode()
def ganalyze(model: Model, latents: Latents, rows: Tensor, target: str, path: Path) -> Turned | None:
    """Go along theta, from one step of the line search to the next, until the flip or the end of its reach.

    It was learned to raise the log-odds of one class; the other of two classes is the opposite way, one of several no
    way at all: None.
    """
    tensors, header = load_tensors(path)
    if header["target_class"] != target and len(latents.class_names) > 2:
        return None
    sign, steps = 1.0 if header["target_class"] == target else -1.0, model.config.evaluation.baselines.ganalyze_steps
    theta = tensors["theta"] * sign * float(header["reach"]) / steps
    states, left = model.images(latents.style_vector(rows)), torch.arange(len(rows))
    for step in range(1, steps + 1):
        w, logits = latents.w[rows[left]] + step * theta, latents.logits[rows[left]]
        images, decisions = _batches(model, w, logits)
        states[left] = images
        left = left[decisions != latents.class_names.index(target)]
        if not len(left):
            break
    return Turned(rows, states)


@torch.inference_mode()
def condition(model: Model, latents: Latents, rows: Tensor, target: str) -> Turned | None:
    """Give c the mean logits of searched reconstructions that are of the target class; None where there are none."""
    label = latents.class_names.index(target)
    of_target = latents.searched & (latents.reconstruction_logits.argmax(dim=1) == label)
    if model.networks.condition_dim == 0 or not of_target.any():
        return None
    logits = latents.reconstruction_logits[of_target].mean(dim=0).expand(len(rows), -1)
    return Turned(rows, _batches(model, latents.w[rows], logits)[0])


def pixel(model: Model, latents: Latents, rows: Tensor, target: str) -> Turned:
    """Change all pixels by a level a step, against the gradient of the target's cross-entropy, until the flip."""
    label, levels = latents.class_names.index(target), model.config.evaluation.baselines.pixel_levels
    parts = []
    for images in model.images(latents.style_vector(rows)).split(model.batch_size):
        states, left = to_uint8(images).to(torch.int16).to(model.device), torch.arange(len(images), device=model.device)
        for level in range(levels + 1):
            shown = from_uint8(states[left]).requires_grad_()
            answers = model.classifier(shown)
            stays = answers.argmax(dim=1) != label
            if level == levels or not stays.any():
                break
            loss = cross_entropy(answers, torch.full_like(left, label), reduction="sum")
            (gradient,) = torch.autograd.grad(loss, shown)
            left, sign = left[stays], gradient[stays].sign().to(torch.int16)
            states[left] = (states[left] - sign).clamp(0, 255)
        parts.append(from_uint8(states).cpu())
    return Turned(rows, torch.cat(parts))


def _rendered(model: Model, w: Tensor, logits: Tensor) -> Tensor:
    return model.networks.synthesis.render(model.networks.synthesis.styles(model.networks.w_plus(w, logits)))


def _batches(model: Model, w: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    """Return the images [n, C, H, W] of w [n, W] under the logits [n, classes], and the decisions on them [n]."""
    images, decisions = [], []
    for rows in torch.arange(len(w)).split(model.batch_size):
        part = _rendered(model, w[rows].to(model.device), logits[rows].to(model.device))
        images.append(part.cpu())
        decisions.append(model.classifier(part).argmax(dim=1).cpu())
    return torch.cat(images), torch.cat(decisions)
