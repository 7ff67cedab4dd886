"""A network that runs twice with one set of weights: without a mask, then with the mask that the first pass made."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from nnunetv2_factorizer.adaptation.catenorm.categorical import CategoricalNorm, Condition
from nnunetv2_factorizer.adaptation.catenorm.norms import replace_norms

MASKS = ("predicted", "true", "shuffled")


class TwoPass(nn.Module):
    """Both passes when it predicts; when it is trained one pass, without a mask or with that of `conditioned`.

    Args:
        body: the network, whose norms in the first stages of the encoder are replaced.
        classes: K.
        num_axes: 2 or 3.
        stages: of the encoder, from the highest resolution down.
        mask: `"predicted"`; `"shuffled"` is the control in which the mask has its voxels in another order, so that the
            shares of the classes are all that it tells; of `"true"` the trainer takes care.
    """

    def __init__(self, body: nn.Module, classes: int, num_axes: int, stages: int, mask: str = "predicted") -> None:
        super().__init__()
        if mask not in MASKS:
            raise ValueError(f"mask must be one of {', '.join(MASKS)}, got {mask!r}.")
        self.condition, self.mask = Condition(), mask
        first: Any = list(body.encoder.stages)[:stages]  # type: ignore[union-attr,arg-type]
        replace_norms(first, lambda norm: CategoricalNorm(norm, classes, num_axes, self.condition))
        self.body = body
        self.given: Tensor | None = None
        """A mask in place of the first pass, when it predicts."""
        self.made: Tensor | None = None
        """The mask of the last first pass in training."""

    @property
    def encoder(self) -> nn.Module:
        encoder: nn.Module = self.body.encoder  # type: ignore[assignment]
        return encoder

    @property
    def decoder(self) -> nn.Module:
        """Where nnU-Net switches deep supervision."""
        decoder: nn.Module = self.body.decoder  # type: ignore[assignment]
        return decoder

    @torch.compiler.disable  # nnU-Net compiles for predictions where nnUNet_compile says so
    def forward(self, x: Tensor) -> Any:
        if self.training:
            outputs = self.body(x)
            if self.condition.at(x.shape[2:]) is None:
                self.made = self.mask_of(outputs)
            return outputs
        mask = self.mask_of(self.body(x)) if self.given is None else self.given
        with self.conditioned(mask):
            return self.body(x)

    @contextmanager
    def conditioned(self, mask: Tensor) -> Iterator[None]:
        """In the block, the network makes second passes with this mask `(B, K, *S)`."""
        self.condition.set(mask)
        try:
            yield
        finally:
            self.condition.set(None)

    def mask_of(self, outputs: Tensor | list[Tensor]) -> Tensor:
        """The probabilities of the highest resolution `(B, K, *S)`, without gradients."""
        logits = outputs[0] if isinstance(outputs, list) else outputs
        mask = logits.detach().float().softmax(1)
        if self.mask != "shuffled":
            return mask
        voxels = mask.flatten(2)
        order = torch.randperm(voxels.shape[2], generator=torch.Generator().manual_seed(0))  # the same every time
        return voxels[:, :, order.to(mask.device)].view_as(mask)
