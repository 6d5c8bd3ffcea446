"""What a training will take, before anything is trained: `stylex plan`.

One period of lazy regularisation runs on `meta` tensors, which have shapes and no values: memory and operations are
counted, nothing is computed or allocated. Counted in float32, so bfloat16 takes less. Time follows from the operations
by a stated share of the GPU's matrix peak; nobody has measured that share with this code.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch

from stylex.classifiers import Classifier, FeatureBackbone
from stylex.classifiers.frozen import NetworkDescription
from stylex.config import ExperimentConfig, load_backbone_config
from stylex.config.finetuning import FineTuningConfig
from stylex.datasets.catalog import dataset_spec
from stylex.errors import ConfigError
from stylex.training.checkpoint import KEPT
from stylex.training.footprint import Footprint
from stylex.training.sampler import FrozenNetworks, RealBatch
from stylex.training.state import NETWORKS, TrainingState, initial_state
from stylex.training.step import Step

META = "meta"
# Matrix products a second by the makers' data sheets, dense: (float32, bfloat16); V100 has no bfloat16.
PEAKS = {"v100": (15.7e12, None), "a100": (19.5e12, 312e12), "h100": (67e12, 989e12), "h200": (67e12, 989e12)}
SHARE = 0.2  # of the peak that a step is assumed to reach
MARGIN = 1.5  # of the time that Slurm is asked for
CUDA = 2 << 30  # bytes assumed for CUDA's context and the workspaces of its libraries
FLOAT = 4  # bytes


@dataclass(frozen=True)
class Plan:
    """The cost of training one experiment."""

    parameters: dict[str, int]  # by network
    operations: float  # floating-point, an image, mean over a period
    state: int  # bytes of weights, moments and averages, in each process
    peak: int  # bytes at the most, in each process, in float32
    share: int  # images of a batch that a process renders at a time
    images: int  # of the training
    precision: str
    seconds: float  # of all GPUs together
    checkpoints: int  # bytes
    effects: int  # bytes of AttFind's effects, of every move of every analysed image
    images_bytes: int  # bytes of a thousand prepared images

    @property
    def hours(self) -> float:
        """GPU hours."""
        return self.seconds / 3600


def plan(root: Path, config: ExperimentConfig, processes: int, gpu: str) -> Plan:
    """Count what a training on so many GPUs takes; gpu: one of `PEAKS`. Raises `ConfigError` for an impossible one."""
    training, stylex = config.stylex.training, config.stylex
    if gpu not in PEAKS:
        raise ConfigError(f"--gpu {gpu}: unknown; choose one of {', '.join(PEAKS)}")
    if training.batch_size % (processes * training.accumulation):
        raise ConfigError(
            f"--processes {processes}: stylex.training.batch_size {training.batch_size} cannot be shared by"
            f" {processes} x accumulation {training.accumulation}; choose a divisor"
        )
    spec = dataset_spec(root, config.dataset.name)
    names = tuple(config.dataset.class_names or spec.class_names or ("a", "b"))
    share = training.batch_size // processes
    with Footprint() as counted:
        state = _state(config, spec.channels, len(names), share)
        bytes_of_state = counted.now
        frozen = _frozen(root, config, spec.channels, names)
        counted.peak = counted.operations = 0
        steps = max(stylex.losses.r1_interval, stylex.losses.path_length_interval, 2)
        for _ in range(steps):
            reals = _reals(share, spec.channels, config.dataset.resolution, len(names), frozen)
            Step(state, state.networks.config, frozen, reals).run()
    operations = counted.operations / (steps * share)
    precision = _precision(config, gpu)
    peak_of_gpu = PEAKS[gpu][precision == "bfloat16"] or PEAKS[gpu][0]
    side, size = config.dataset.resolution, state.networks.synthesis.layout.size
    return Plan(
        parameters={name: sum(p.numel() for p in getattr(state.networks, name).parameters()) for name in NETWORKS},
        operations=operations,
        state=bytes_of_state,
        peak=counted.peak,
        share=share // training.accumulation,
        images=training.images,
        precision=precision,
        seconds=training.images * operations / (SHARE * peak_of_gpu),
        checkpoints=KEPT * sum(_checkpoint_bytes(state, name) for name in NETWORKS),
        effects=config.attfind.images * 2 * size * len(names) * FLOAT,
        images_bytes=1000 * spec.channels * side * side,
    )


def _state(config: ExperimentConfig, channels: int, classes: int, share: int) -> TrainingState:
    """Return the state on `meta`, where Adam cannot be fused and no shape may be random; share: images of a batch."""
    training = config.stylex.training
    acceleration = training.acceleration.model_copy(update={"fused_adam": False, "compile": False})
    precision = training.precision.model_copy(update={"cpu": "float32"})
    update = {"acceleration": acceleration, "precision": precision, "mixed_conditions": 0.0}
    update |= {"batch_size": share, "autoencoder_images": 0}
    stylex = config.stylex.model_copy(update={"training": training.model_copy(update=update)})
    with torch.device(META):  # the networks are built there, too
        return initial_state(stylex, config.dataset.resolution, channels, classes, config.seed, META)


def _frozen(root: Path, config: ExperimentConfig, channels: int, names: tuple[str, ...]) -> FrozenNetworks:
    """Return the frozen networks; a user's own classifier and LPIPS are counted as the backbone is."""
    side = config.dataset.resolution
    backbone: FineTuningConfig = load_backbone_config(root, config.stylex.perceptual_backbone)
    trained = config.classifier if isinstance(config.classifier, FineTuningConfig) else backbone
    explained = NetworkDescription.of("classifier", "", trained, channels, side, names)
    measuring = NetworkDescription.of("backbone", "", backbone, channels, side, ("a", "b"))
    with torch.device(META):
        networks = Classifier(explained.build(), explained), FeatureBackbone(measuring.build(), measuring)
    return FrozenNetworks(*networks)


def _reals(count: int, channels: int, side: int, classes: int, frozen: FrozenNetworks) -> RealBatch:
    images = torch.empty(count, channels, side, side, device=META)
    with torch.no_grad():
        return RealBatch(images, torch.empty(count, classes, device=META), frozen.backbone.features(images))


def _precision(config: ExperimentConfig, gpu: str) -> str:
    wanted = config.stylex.training.precision.cuda
    return "float32" if PEAKS[gpu][1] is None or wanted == "float32" else "bfloat16"


def _checkpoint_bytes(state: TrainingState, name: str) -> int:
    """Return the bytes of a network's weights, two moments and average."""
    return 4 * FLOAT * state.weights[name].vector.numel()


def text(name: str, found: Plan, processes: int, gpu: str) -> str:
    """Return a plan in lines."""
    sizes = ", ".join(f"{network} {count / 1e6:.1f} M" for network, count in found.parameters.items())
    memory, minutes = found.peak + CUDA, math.ceil(MARGIN * found.hours * 60 / processes)
    return "\n".join([
        f"{name}: {found.images:,} images, {processes} x {gpu.upper()}",
        f"  parameters  {sizes}",
        f"  a step      {found.operations / 1e12:.2f} TFLOP an image",
        f"  GPU memory  {memory / 2**30:.1f} GiB in each process ({found.share} images at a time, counted in float32;"
        f" weights and moments {found.state / 2**30:.1f}, CUDA itself assumed {CUDA / 2**30:.0f})",
        f"  time        {found.hours:.1f} GPU hours, {found.hours / processes:.1f} hours, if a step reaches"
        f" {SHARE:.0%} of the {found.precision} peak (not measured)",
        f"  Slurm       in config/site.yaml training_gpus: {processes}, stages: {{train: {{minutes: {minutes}}}}}",
        f"  disk        {found.checkpoints / 1e9:.1f} GB checkpoints, {found.effects / 1e9:.2f} GB effects at the most,"
        f" {found.images_bytes / 1e6:.0f} MB a thousand images",
    ])  # fmt: skip
