"""Fréchet distance against the number of attributes applied ([V] 5.2, figure 3), with the kernel distance beside it.

The dataset's images against their reconstructions with 0, 1, … attributes, so n is the same at every point: the images
on which each protocol measures. The table names the network whose features are compared. Only with pytorch-fid's
Inception is the distance a FID. It is biased in n. The features of an image never depend on the batch it came in.

Mean and covariance are accumulated in float64 by the update of Chan et al. 1983 (equation 2.1), so the division into
batches changes them by rounding only. KID needs features themselves: of more than `KID_IMAGES` images a random sample.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from stylex.attfind.explanations import runners_up
from stylex.attfind.records import Attribute, read_attributes
from stylex.classifiers import FeatureBackbone, load_backbone
from stylex.config import ExperimentConfig, backbone_paths, weights_path
from stylex.config.base import INCEPTION, KID_FOLDS
from stylex.distances import frechet_distance, kernel_distance, squared_mmd
from stylex.errors import AttributesNotFoundError
from stylex.evaluation.counterfactuals import Run, apply_moves, images_to_turn, load_originals, target_classes
from stylex.latents.table import Latents
from stylex.networks.stylespace import StyleVector
from stylex.pretrained import load_weights, published_weights
from stylex.progress import progress
from stylex.quantization import to_uint8

COLUMNS = ("experiment", "protocol", "n_attributes", "n", "extractor", "frechet_distance", "kid", "kid_sd", *KID_FOLDS)
FOLD_IMAGES = 10  # at least, of a fold: of fewer, the distance is noise
KID_IMAGES = 5000  # five times the largest subset of KID; 80 MB of Inception features
POOL3 = 2048  # features of the FID: Inception's last pooling


class BackboneFeatures:
    """Penultimate features of a backbone, in float64: there, batches change nothing above 1e-12."""

    def __init__(self, backbone: FeatureBackbone) -> None:
        self.name, self.network = backbone.name, backbone.network.double()
        self.origin: dict[str, str] = {}

    @torch.inference_mode()
    def features(self, images: Tensor) -> Tensor:
        """Map images [N, C, H, W] in [-1, 1] to features [N, D], float64, on the CPU."""
        return self.network.embedding(images.to(self.network.head.weight.device).double()).cpu()


class InceptionFeatures:
    """pytorch-fid's InceptionV3 as its command runs it, in float32, but one image after the other.

    A CPU computes a batch of these large maps image by image anyway.
    """

    name = INCEPTION

    def __init__(self, state: Mapping[str, Tensor], device: str = "cpu", dimensions: int = POOL3) -> None:
        from pytorch_fid import inception  # imports torchvision, which takes long

        block = inception.InceptionV3.BLOCK_INDEX_BY_DIM[dimensions]
        with _handed_over(state):
            network = inception.InceptionV3([block])
        self.network, self.device = network.eval().to(device), device
        self.origin = {"inception_sha256": published_weights(INCEPTION).file.digests["sha256"]}

    @torch.inference_mode()
    def features(self, images: Tensor) -> Tensor:
        """Map images [N, 1 or 3, H, W] in [-1, 1] to features [N, D], float64, on the CPU.

        The network is given what pytorch-fid reads from a PNG of the image: bytes / 255, grey in three equal channels.
        """
        pixels = to_uint8(images).to(self.device).float().div(255).expand(-1, 3, -1, -1)
        maps = torch.cat([self.network(image)[0] for image in pixels.split(1)])
        # As the command: maps of an earlier block (other than 2048 features) are averaged over the positions.
        return torch.nn.functional.adaptive_avg_pool2d(maps, 1).flatten(1).double().cpu()


@contextmanager
def _handed_over(state: Mapping[str, Tensor]) -> Iterator[None]:
    """Give pytorch-fid these weights where its network would download and unpickle them, unverified."""
    from pytorch_fid import inception

    downloader = inception.load_state_dict_from_url
    inception.load_state_dict_from_url = lambda *_, **__: state
    try:
        yield
    finally:
        inception.load_state_dict_from_url = downloader


Extractor = BackboneFeatures | InceptionFeatures
"""`name` stands in the column `extractor`, `origin` in the provenance."""


def load_extractors(root: Path, config: ExperimentConfig, device: str) -> list[Extractor]:
    """Load what evaluation.frechet_extractors names; raise `ArtifactError` when weights are missing or others."""
    found: list[Extractor] = []
    for kind in config.evaluation.frechet_extractors:
        if kind == INCEPTION:
            path = weights_path(root, INCEPTION, config.evaluation.inception_weights)
            found.append(InceptionFeatures(load_weights(path, INCEPTION), device))
        else:
            path = backbone_paths(root, config.stylex.perceptual_backbone).model
            found.append(BackboneFeatures(load_backbone(path, device)))
    return found


class FeatureStatistics:
    """Mean, covariance and a sample of the features of `total` images that come in batches."""

    def __init__(self, total: int, generator: torch.Generator) -> None:
        self.count, self.mean, self.scatter = 0, torch.zeros(0), torch.zeros(0)
        self._chosen = torch.zeros(total, dtype=torch.bool)
        self._chosen[torch.randperm(total, generator=generator)[:KID_IMAGES]] = True
        self._kept: list[Tensor] = []

    def add(self, features: Tensor) -> None:
        """Take in the features [N, D] of the next images; all calls together must bring `total` of them."""
        features = features.double()
        size, mean = len(features), features.mean(0)
        self._kept.append(features[self._chosen[self.count : self.count + size]])
        scatter = (features - mean).T @ (features - mean)
        if self.count:
            step = mean - self.mean
            scatter += self.scatter + torch.outer(step, step) * (self.count * size / (self.count + size))
            mean = self.mean + step * (size / (self.count + size))
        self.count, self.mean, self.scatter = self.count + size, mean, scatter

    @property
    def covariance(self) -> Tensor:
        """Unbiased covariance [D, D], float64."""
        return self.scatter / (self.count - 1)

    @property
    def sample(self) -> Tensor:
        """Features [min(total, KID_IMAGES), D] in the order of the images, float64."""
        return torch.cat(self._kept)


def frechet(root: Path, name: str, device: str) -> None:
    """Write frechet.csv: for each protocol and extractor one row for 0, 1, … evaluation.frechet_attributes attributes.

    Raises `AttributesNotFoundError` when fewer than two images are measured.
    """
    run = Run.load(root, name, device)
    config, batch_size, seed = run.config, run.config.evaluation.batch_size, run.config.seed
    extractors, originals = load_extractors(root, config, device), load_originals(root, config, run.latents)
    steps, rows = range(config.evaluation.frechet_attributes + 1), list[dict[str, object]]()
    with progress(f"frechet {name}", len(config.attfind.protocols) * (len(steps) + 1), "points") as counter:
        for protocol in config.attfind.protocols:
            latents = run.latents.under(protocol)
            attributes = read_attributes(run.paths.under(protocol, config.attfind.protocol).attributes)
            images = images_moved(latents, config.attfind.against)
            real = statistics(extractors, map(originals, images.split(batch_size)), len(images), seed)
            counter.advance(1)
            points = []
            for k in steps:
                moved = towards_other_class(latents, attributes, k, config.attfind.shift)
                fake = statistics(extractors, run.rendered(moved.select(images)), len(images), seed)
                points += [distances(*pair, seed) | {"n_attributes": k} for pair in zip(real, fake, strict=True)]
                counter.advance(1)
            for place, extractor in enumerate(extractors):
                common = {"experiment": name, "protocol": protocol, "extractor": extractor.name}
                rows += [common | point for point in points[place :: len(extractors)]]
    origin = {key: value for extractor in extractors for key, value in extractor.origin.items()}
    run.write(run.paths.frechet, rows, COLUMNS, origin)


def statistics(
    extractors: Sequence[Extractor], batches: Iterable[Tensor], total: int, seed: int
) -> list[FeatureStatistics]:
    """Return each extractor's statistics of `total` images that come in batches [N, C, H, W] in [-1, 1]."""
    found = [FeatureStatistics(total, torch.Generator().manual_seed(seed)) for _ in extractors]
    for images in batches:
        for extractor, each in zip(extractors, found, strict=True):
            each.add(extractor.features(images))
    return found


def distances(real: FeatureStatistics, fake: FeatureStatistics, seed: int) -> dict[str, object]:
    """Return the measured columns of a row. The same subsets serve every row (one seed)."""
    kid, kid_sd = kernel_distance(real.sample, fake.sample, torch.Generator().manual_seed(seed))
    distance = frechet_distance(real.mean, real.covariance, fake.mean, fake.covariance)
    folds = dict(zip(KID_FOLDS, fold_distances(real.sample, fake.sample, seed), strict=True))
    return {"n": real.count, "frechet_distance": distance, "kid": kid, "kid_sd": kid_sd, **folds}


def fold_distances(real: Tensor, fake: Tensor, seed: int) -> list[float | None]:
    """Return the squared MMD of each fold, disjoint groups of the images; None of each when they are too small.

    real, fake [n, D]: features of the same images in the same order. Folds do not depend on what is measured (one
    seed), and share no image, so that what one says is independent of the others.
    """
    order = torch.randperm(len(real), generator=torch.Generator().manual_seed(seed))
    folds = [order[start :: len(KID_FOLDS)] for start in range(len(KID_FOLDS))]
    if len(folds[-1]) < FOLD_IMAGES:
        return [None] * len(folds)
    return [float(squared_mmd(real[rows], fake[rows])) for rows in folds]


def towards_other_class(latents: Latents, attributes: dict[str, list[Attribute]], k: int, shift: float) -> StyleVector:
    """Return the styles [N] with the top k attributes of each image's target class applied.

    The target is the runner-up of the reconstruction's logits: for two classes, the other one.
    """
    targets = [latents.class_names[label] for label in runners_up(latents.reconstruction_logits).tolist()]
    return apply_moves(latents, torch.arange(len(targets)), [attributes.get(each, [])[:k] for each in targets], shift)


def images_moved(latents: Latents, against: str | None) -> Tensor:
    """Return the rows [n] of the measured images that some attribute moves: all, or those of the class compared with.

    Raises `AttributesNotFoundError` when there are fewer than two, which is no distribution.
    """
    images = torch.nonzero(latents.measured).flatten()
    if against is not None:
        images = images_to_turn(latents, target_classes(latents, against)[0], against)  # the same for each target
    if len(images) < 2:
        which = f" are classified as '{against}' (attfind.against)" if against is not None else " are measured"
        raise AttributesNotFoundError(
            f"fewer than two reconstructions{which}, which is no distribution; analyse more images (attfind.images)"
            " or train longer (stylex.training.images)"
        )
    return images
