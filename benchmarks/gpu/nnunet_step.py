"""nnU-Net's training step, without its trainer: autocast, scaler, clipped gradients, SGD, and a look at the loss."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.gpu.setting import compiled

Loss = Callable[[Sequence[Tensor], Sequence[Tensor]], Tensor]
"""Of the logits and the labels, highest resolution first."""


class Training:
    """A network in training on one batch, which it can learn: labels are the first channel in three ranges.

    Args:
        network: with deep supervision, on its device.
        images: `(B, C, *S)`.
        is_compiled: the network, and nnU-Net's Dice loss with it.
        dtype: of autocast; float32 for none.
    """

    def __init__(self, network: nn.Module, images: Tensor, is_compiled: bool, dtype: torch.dtype) -> None:
        self.network, self.images, self.dtype = network.train(), images, dtype
        self.forward = compiled(network) if is_compiled else network
        labels = (images[:, :1] > -0.43).short() + (images[:, :1] > 0.43)
        outputs = sum(1 for _ in network.get_submodule("decoder.seg_layers").children())
        steps = [2**level for level in range(outputs)]
        self.labels = [labels[:, :, ::n, ::n, ::n].contiguous() for n in steps]
        weights = [1 / n for n in steps]
        if outputs > 1:
            weights[-1] = 0.0  # as nnU-Net's
        self.weights = [weight / sum(weights) for weight in weights]
        self.loss, self.loss_name = make_loss(self.weights, is_compiled)
        self.optimizer = torch.optim.SGD(network.parameters(), lr=1e-2, momentum=0.99, nesterov=True, weight_decay=3e-5)
        device_type = images.device.type
        self.scaler = torch.amp.GradScaler(device_type, enabled=device_type == "cuda" and dtype == torch.float16)

    def step(self) -> float:
        """One step; the loss before it."""
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.images.device.type, self.dtype, enabled=self.dtype != torch.float32):
            loss = self.loss(self.forward(self.images), self.labels)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        nn.utils.clip_grad_norm_(self.network.parameters(), 12)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return float(loss.detach().cpu())


def make_loss(weights: Sequence[float], is_compiled: bool) -> tuple[Loss, str]:
    """nnU-Net's Dice and cross-entropy where it is installed, or else cross-entropy alone; and which one it is."""
    try:
        from nnunetv2.training.loss.compound_losses import DC_and_CE_loss
        from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper
        from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss
    except ImportError as absent:
        return lambda logits, labels: _cross_entropy(logits, labels, weights), f"cross-entropy ({absent})"

    dice = {"batch_dice": False, "smooth": 1e-5, "do_bg": False, "ddp": False}
    loss = DC_and_CE_loss(
        dice, {}, weight_ce=1, weight_dice=1, ignore_label=None, dice_class=MemoryEfficientSoftDiceLoss
    )
    if is_compiled:
        loss.dc = compiled(loss.dc)
    return DeepSupervisionWrapper(loss, weights), "nnU-Net's Dice + cross-entropy"


def _cross_entropy(logits: Sequence[Tensor], labels: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    losses = [functional.cross_entropy(x, y[:, 0].long()) for x, y in zip(logits, labels, strict=True)]
    return torch.stack([w * loss for w, loss in zip(weights, losses, strict=True)]).sum()
