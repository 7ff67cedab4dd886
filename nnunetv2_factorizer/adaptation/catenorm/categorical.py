"""CateNorm (Xiao et al.): a norm whose scale and shift depend on what a first pass has segmented, voxel by voxel.

    first pass:   gamma_c (x - mu_c) / sigma_c + beta_c
    second pass:  gamma_c,v(m) (x - mu_c) / sigma_c + beta_c,v(m)

m are the probabilities of the classes, resized to the features. gamma(m) and beta(m) share a 3^d convolution to C / 2
channels and a ReLU, and have a 3^d convolution each. The formula has no "1 +"; the authors' release has, and we follow
it, since the second pass then begins as the first one.

Ours: the norm of the network, which is an instance or a layer norm, is modulated with its own scale and shift as the
first pass has learned them:

    second pass:  (1 + gamma(m)) * norm(x) + beta(m),   both convolutions zero at the start

In the paper this pass has a batch norm of its own without them, and would begin somewhere else after the warm-up. The
second pass gives no gradient to them (theta_NB of the paper).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from nnunetv2_factorizer.adaptation.catenorm.norms import channels_of
from nnunetv2_factorizer.factorization import resize


class Condition:
    """The mask of the pass in progress, which all norms of a network look at; none in the first pass."""

    def __init__(self) -> None:
        self._mask: Tensor | None = None
        self._resized: dict[tuple[int, ...], Tensor] = {}

    def set(self, mask: Tensor | None) -> None:
        """Probabilities `(B, K, *S)`, or None."""
        self._mask, self._resized = mask, {}

    def at(self, size: Sequence[int]) -> Tensor | None:
        """The mask, interpolated linearly to the size of some features."""
        if self._mask is None:
            return None
        key = tuple(size)
        if key not in self._resized:
            self._resized[key] = self._mask if self._mask.shape[2:] == key else resize(self._mask, key)
        return self._resized[key]


class CategoricalNorm(nn.Module):
    """In place of a norm on `(B, C, *S)`.

    Args:
        plain: the norm.
        classes: K of the mask.
        num_axes: 2 or 3.
        condition: of the network.
    """

    def __init__(self, plain: nn.Module, classes: int, num_axes: int, condition: Condition) -> None:
        super().__init__()
        channels = channels_of(plain)
        convolution = {2: nn.Conv2d, 3: nn.Conv3d}[num_axes]
        hidden = max(1, channels // 2)
        self.plain, self.condition = plain, condition
        self.hidden = convolution(classes, hidden, 3, padding=1)
        self.gamma = convolution(hidden, channels, 3, padding=1)
        self.beta = convolution(hidden, channels, 3, padding=1)
        for last in (self.gamma, self.beta):
            nn.init.zeros_(last.weight)
            assert last.bias is not None
            nn.init.zeros_(last.bias)

    def forward(self, x: Tensor) -> Tensor:
        mask = self.condition.at(x.shape[2:])
        if mask is None:
            y: Tensor = self.plain(x)
            return y
        of_first_pass = {name: p.detach() for name, p in self.plain.named_parameters()}
        y = functional_call(self.plain, of_first_pass, (x,))
        hidden = torch.relu(self.hidden(mask))
        return (1 + self.gamma(hidden)) * y + self.beta(hidden)
