"""StylEx's training step the textbook way, on the weights of a `StylexNetworks`: what the fast one is held against.

float32 in the plain memory layout; each sample has its own modulated weights, in one grouped convolution; gains after
the activation; FIR filters as depthwise convolutions; D's fakes and G's fakes rendered apart; C(x), E(x) and the
features of the real images computed wherever they are needed; one `autograd.grad` a loss, as the formulas are written.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from stylex.classifiers import perceptual_distance
from stylex.networks.layers import fir_kernel, learning_gains
from stylex.networks.model import StylexNetworks, build_networks
from stylex.training.losses import (
    classifier_divergence,
    discriminator_loss,
    generator_loss,
    path_length_penalty,
    path_lengths,
    r1_penalty,
)
from stylex.training.sampler import augment


def linear(layer, x, lr_multiplier=1.0):
    scale = lr_multiplier / math.sqrt(layer.weight.shape[1])
    return F.linear(x, layer.weight * scale, layer.bias * lr_multiplier)


def activate(x):
    return F.leaky_relu(x, 0.2) * math.sqrt(2)


def convolve(layer, x):
    scale = 1 / math.sqrt(layer.weight[0].numel())
    return F.conv2d(x, layer.weight * scale, layer.bias, padding=layer.weight.shape[-1] // 2)


def blur_and_convolve(layer, x):
    """Filter with [1, 3, 3, 1], then keep every second pixel of a convolution (Karras et al. 2019, figure 2)."""
    channels, kernel = x.shape[1], layer.weight.shape[-1]
    fir = fir_kernel().to(x).expand(channels, 1, 4, 4)
    x = F.conv2d(x, fir, padding=kernel // 2 + 1, groups=channels)
    return F.conv2d(x, layer.weight / math.sqrt(layer.weight[0].numel()), layer.bias, stride=2)


def residual(block, x):
    main = activate(convolve(block.first, x))
    if block.box:
        main, skip = activate(convolve(block.second, F.avg_pool2d(main, 2))), convolve(block.skip, F.avg_pool2d(x, 2))
    else:
        main, skip = activate(blur_and_convolve(block.second, main)), blur_and_convolve(block.skip, x)
    return (main + skip) * math.sqrt(0.5)


def trunk(network, images):
    x = activate(convolve(network.trunk.from_image, images))
    for block in network.trunk.blocks:
        x = residual(block, x)
    return x


def encode(networks, images):
    encoder = networks.encoder
    x = activate(convolve(encoder.last, trunk(encoder, images)))
    return linear(encoder.output, activate(linear(encoder.hidden, x.flatten(1))))


def discriminate(networks, images, probabilities):
    discriminator = networks.discriminator
    x = trunk(discriminator, images)
    size = math.gcd(len(x), discriminator.group)
    groups = x.reshape(-1, size, *x.shape[1:])
    deviation = torch.sqrt(groups.var(dim=1, correction=0) + 1e-8).mean(dim=(1, 2, 3))
    x = torch.cat([x, deviation.repeat_interleave(size).reshape(-1, 1, 1, 1).expand(-1, 1, 4, 4)], dim=1)
    x = activate(convolve(discriminator.last, x)).flatten(1)
    scores = linear(discriminator.output, activate(linear(discriminator.hidden, x)))
    return scores[:, 0] if scores.shape[1] == 1 else (scores * probabilities).sum(dim=1)


def map_latents(networks, z):
    x = z / torch.sqrt(z.square().mean(dim=1, keepdim=True) + 1e-8)
    for layer in networks.mapping.layers:
        x = activate(linear(layer, x, networks.config.networks.mapping_lr_multiplier))
    return x


def modulated(x, weight, styles, demodulate):
    """Karras et al. 2020, equations 1 to 3: one set of weights a sample."""
    count, inputs, height, width = x.shape
    outputs, _, kernel, _ = weight.shape
    weights = weight[None] / math.sqrt(inputs * kernel**2) * styles[:, None, :, None, None]
    if demodulate:
        weights = weights * torch.rsqrt(weights.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8)
    weights = weights.reshape(count * outputs, inputs, kernel, kernel)
    out = F.conv2d(x.reshape(1, count * inputs, height, width), weights, padding=kernel // 2, groups=count)
    return out.reshape(count, outputs, height, width)


def affine(layer, layout, index, w_plus):
    rows = layout.rows()[index]
    return F.linear(w_plus, layer.weight[rows] / math.sqrt(w_plus.shape[1]), layer.bias[rows])


def double(x):
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def synthesise(networks, w_plus, noise):
    """w_plus [N, D] or [N, L, D], one noise map [N, 1, H, W] a layer -> images."""
    synthesis = networks.synthesis
    if w_plus.dim() == 2:
        w_plus = w_plus[:, None].expand(-1, len(synthesis.layers), -1)
    x, image = synthesis.constant.expand(len(w_plus), -1, -1, -1), None
    for index, layer in enumerate(synthesis.layers):
        x = double(x) if index % 2 else x
        styles = affine(synthesis.affine, synthesis.layout, index, w_plus[:, index])
        x = modulated(x, layer.weight, styles, True)
        if noise:
            x = x + layer.noise_strength * noise[index]
        x = activate(x + layer.bias[:, None, None])
        block = index // 2 - synthesis.first_image
        if index % 2 == 0 and block >= 0:
            to_image = synthesis.to_image[block]
            styles = affine(synthesis.to_rgb_affine, synthesis.to_rgb_layout, block, w_plus[:, index])
            drawn = modulated(x, to_image.weight, styles, False)
            drawn = drawn + to_image.bias[:, None, None]
            image = drawn if image is None else double(image) + drawn
    return image


def render_fakes(networks, images, logits, random, from_encoder):
    if from_encoder:
        w = encode(networks, images)
    else:
        first, second = map_latents(networks, random.z[:, 0]), map_latents(networks, random.z[:, 1])
        w = torch.where(random.from_second()[:, :, None], second[:, None], first[:, None])
    return w, synthesise(networks, networks.w_plus(w, logits), random.noise)


def plain_step(state, config, frozen, images, random, path_random):
    """Update the state with real images [B, C, H, W]; return the loss terms.

    `random` serves D's fakes and G's fakes, as in the fast step, so that the two can be compared.
    """
    networks, losses, terms = state.networks, config.losses, {}
    from_encoder = not config.training.alternating or state.step % 2 == 0
    policies = config.training.augment

    with torch.no_grad():
        logits = frozen.classifier(images)
        _, fake = render_fakes(networks, images, logits, random, from_encoder)
    probabilities = logits.softmax(dim=1)
    real_scores = discriminate(networks, augment(images, policies, random.view("real")), probabilities)
    fake_scores = discriminate(networks, augment(fake, policies, random.view("fake")), probabilities)
    terms["d_adversarial"] = discriminator_loss(real_scores, fake_scores, losses.adversarial == "hinge")
    minimise(state.discriminator_optimizer, terms["d_adversarial"])

    if losses.r1_gamma and state.step % losses.r1_interval == 0:
        real = images.clone().requires_grad_()
        scores = discriminate(networks, augment(real, policies, random.view("real_r1")), probabilities)
        terms["r1"] = r1_penalty(scores, real)
        minimise(state.discriminator_optimizer, losses.r1_gamma * losses.r1_interval * terms["r1"])

    with torch.no_grad():
        logits = frozen.classifier(images)
    w, fake = render_fakes(networks, images, logits, random, from_encoder)
    scores = discriminate(networks, augment(fake, policies, random.view("fake_generator")), probabilities)
    terms["g_adversarial"] = generator_loss(scores, losses.adversarial == "hinge")
    loss = terms["g_adversarial"]
    if from_encoder:
        terms["reconstruction_x"] = (fake - images).abs().mean()
        with torch.no_grad():
            features = frozen.backbone.features(images)
        terms["reconstruction_perceptual"] = perceptual_distance(frozen.backbone.features(fake), features).mean()
        terms["reconstruction_w"] = (encode(networks, fake) - encode(networks, images)).abs().mean()
        reverse = losses.classifier_divergence == "reverse"
        terms["classifier"] = classifier_divergence(frozen.classifier(fake), logits, reverse)
        names = ("reconstruction_x", "reconstruction_perceptual", "reconstruction_w", "classifier")
        loss = loss + sum(getattr(losses, name) * terms[name] for name in names)
    minimise(state.generator_optimizer, loss)

    if losses.path_length and state.step % losses.path_length_interval == 0:
        half = path_random.rows(slice(None, None, 2))
        w, fake = render_fakes(networks, None, logits[::2], half, from_encoder=False)
        lengths = path_lengths(fake, w, half.direction)
        terms["path_length"] = path_length_penalty(lengths, state.path_length_mean)
        minimise(state.generator_optimizer, losses.path_length * losses.path_length_interval * terms["path_length"])
        state.path_length_mean.lerp_(lengths.detach().mean(), losses.path_length_decay)

    decay = 0.5 ** (len(images) / config.training.ema_half_life)
    with torch.no_grad():
        for average, parameter in zip(state.ema.parameters(), networks.parameters(), strict=True):
            average.copy_(decay * average + (1 - decay) * parameter)
    state.step += 1
    state.images += len(images)
    return {name: float(term.detach()) for name, term in terms.items()}


def minimise(optimizer, loss):
    optimizer.zero_grad()
    loss.backward()
    for group in optimizer.param_groups:  # a network each: what the loss does not touch in it has gradient zero
        if any(parameter.grad is not None for parameter in group["params"]):
            for parameter in group["params"]:
                parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
    optimizer.step()


@dataclass
class PlainState:
    """What the textbook step changes; the parameters are StyleGAN2's v, which its layers multiply by their gains."""

    networks: StylexNetworks
    ema: StylexNetworks
    generator_optimizer: torch.optim.Adam
    discriminator_optimizer: torch.optim.Adam
    random: torch.Generator
    path_length_mean: Tensor
    step: int = 0
    images: int = 0


def plain_state(config, resolution, image_channels, classes, seed, device="cpu"):
    networks = build_networks(config, resolution, image_channels, classes, seed).to(device)
    gains = learning_gains(networks)
    with torch.no_grad():
        for name, parameter in networks.named_parameters():
            parameter.div_(gains[name])
    training, losses = config.training, config.losses
    rates = {"synthesis": training.learning_rate, "mapping": training.learning_rate}
    rates |= {"encoder": training.encoder_learning_rate}
    return PlainState(
        networks,
        copy.deepcopy(networks).requires_grad_(False),
        adam(networks, rates, training, losses.path_length_interval if losses.path_length else None),
        adam(networks, {"discriminator": training.learning_rate}, training, losses.r1_interval),
        torch.Generator(device).manual_seed(seed),
        torch.zeros((), device=device),
    )


def adam(networks, rates, config, interval):
    ratio = interval / (interval + 1) if interval else 1.0
    groups = [{"params": list(getattr(networks, name).parameters()), "lr": lr * ratio} for name, lr in rates.items()]
    return torch.optim.Adam(groups, betas=(config.beta1**ratio, config.beta2**ratio), eps=1e-8)
