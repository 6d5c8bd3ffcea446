"""Statistics of features that arrive in batches: what the Fréchet distance and KID need, in bounded memory.

Mean and covariance are accumulated in float64 by the update of Chan et al. 1983 (equation 2.1), so the division into
batches changes them by rounding only. KID needs features themselves: of more than `KID_IMAGES` images a random sample.
"""

from __future__ import annotations

import torch
from torch import Tensor

KID_IMAGES = 5000  # five times the largest subset of KID; 80 MB of Inception features


class FeatureStatistics:
    """Mean, covariance and a sample of the features of `total` images."""

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
