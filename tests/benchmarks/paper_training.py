"""Options of stylex that train as the papers do, for tests and benchmarks whose experiment extends cpu-32."""

from stylex.config import StylexConfig

CONDITIONING = "logits"
NETWORKS = {"condition_coordinates": None, "noise": True, "mapping_lr_multiplier": 0.01}
LOSSES = {
    "classifier_noise": 0.0,
    "mapping": 0.0,
    "reconstruction_x": 10.0,
    "reconstruction_perceptual": 1.0,
    "reconstruction_w": 0.1,
    "r1_gamma": 0.1,
}
TRAINING = {
    "autoencoder_images": 0,
    "learning_rate": 0.002,
    "encoder_learning_rate": 0.002,
    "discriminator_learning_rate": None,
    "warmup_images": 0,
    "decay": 0.0,
    "generator_beta1": None,
    "counterfactuals": 0.0,
    "mixed_conditions": 0.0,
    "told": "image",
}
OPTIONS = {"conditioning": CONDITIONING, "networks": NETWORKS, "losses": LOSSES, "training": TRAINING}


def as_papers(config: StylexConfig) -> StylexConfig:
    """Return the config with these options."""
    sections = {"networks": NETWORKS, "losses": LOSSES, "training": TRAINING}
    changed = {name: getattr(config, name).model_copy(update=values) for name, values in sections.items()}
    return config.model_copy(update={"conditioning": CONDITIONING} | changed)
