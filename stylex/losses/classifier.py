"""L_cls: the reconstruction must be classified like the original ([L] 3.2)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def classifier_divergence(fake_logits: Tensor, real_logits: Tensor, reverse: bool = False) -> Tensor:
    """Return the mean KL(C(x') || C(x)) in nats, or KL(C(x) || C(x')) if `reverse`; logits [N, classes]."""
    fake, real = F.log_softmax(fake_logits, dim=1), F.log_softmax(real_logits, dim=1)
    if reverse:
        return F.kl_div(fake, real, reduction="batchmean", log_target=True)
    return F.kl_div(real, fake, reduction="batchmean", log_target=True)
