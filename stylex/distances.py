"""Fréchet and kernel distance between two sets of feature vectors.

Fréchet: Heusel et al. 2017, d^2 = |mu_1 - mu_2|^2 + Tr(S_1 + S_2 - 2 (S_1 S_2)^(1/2)), as pytorch-fid has it. Its
`calculate_frechet_distance` warns under the pinned SciPy (sqrtm's `disp`) and stops on singular products, which fewer
images than features always give; the symmetric form below does neither.
Kernel: Bińkowski et al. 2018, the unbiased MMD^2 under the polynomial kernel (x.y / D + 1)^3.
"""

from __future__ import annotations

import torch
from torch import Tensor

KID_SUBSETS = 100
KID_LARGEST_SUBSET = 1000


def moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean [D] and unbiased covariance [D, D] of features [N, D], in float64."""
    features = features.double()
    return features.mean(0), torch.atleast_2d(torch.cov(features.T))


def frechet_distance(mean_a: Tensor, covariance_a: Tensor, mean_b: Tensor, covariance_b: Tensor) -> float:
    """Return the squared Fréchet distance of two Gaussians, float64.

    Tr (S_a S_b)^(1/2) = Tr (S_a^(1/2) S_b S_a^(1/2))^(1/2) = sum of the singular values of S_a^(1/2) S_b^(1/2).
    """
    cross = torch.linalg.svdvals(_square_root(covariance_a) @ _square_root(covariance_b)).sum()
    trace = covariance_a.trace() + covariance_b.trace() - 2 * cross
    return float((mean_a - mean_b).square().sum() + trace)


def kernel_distance(a: Tensor, b: Tensor, generator: torch.Generator) -> tuple[float, float]:
    """Return mean and sd over random subsets of the unbiased squared MMD of features a, b [N, D].

    A subset is half of the smaller set, at most 1000 (Bińkowski's size), so that subsets differ.
    """
    size = min(KID_LARGEST_SUBSET, max(2, min(len(a), len(b)) // 2))
    values = []
    for _ in range(KID_SUBSETS):
        rows_a = torch.randperm(len(a), generator=generator)[:size]
        rows_b = torch.randperm(len(b), generator=generator)[:size]
        values.append(squared_mmd(a[rows_a].double(), b[rows_b].double()))
    stacked = torch.stack(values)
    return float(stacked.mean()), float(stacked.std())


def squared_mmd(a: Tensor, b: Tensor) -> Tensor:
    """Return the unbiased squared MMD of a [m, D] and b [n, D] under (x.y / D + 1)^3; may be negative."""
    m, n = len(a), len(b)
    within_a = _kernel(a, a).fill_diagonal_(0).sum() / (m * (m - 1))
    within_b = _kernel(b, b).fill_diagonal_(0).sum() / (n * (n - 1))
    return within_a + within_b - 2 * _kernel(a, b).mean()


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    return (a @ b.T / a.shape[1] + 1) ** 3


def _square_root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    noise = len(values) * torch.finfo(values.dtype).eps * values.abs().max()  # of a singular matrix's zeros
    return (vectors * values.where(values > noise, 0).sqrt()) @ vectors.T
