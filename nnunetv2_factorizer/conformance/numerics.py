"""Checks of the numbers: finite outputs and gradients whatever the image and the precision."""

from functools import partial

import torch
from torch import Tensor

from nnunetv2_factorizer.conformance.subject import Subject, loss, outputs, require

OUTLIER = 1e4
"""No voxel is larger after nnU-Net's z-score normalisation: among n voxels none is more than sqrt(n - 1) standard
deviations from the mean, and n = 1e8 is an image of 512x512x400."""

TINY = 1e-6
"""Below the normal numbers of float16 (6e-5), so that squares and products are zero in it: what is left of a constant
image that was rescaled or resampled."""

REMEDY = (
    "Add an epsilon to what is divided by or whose root is taken, one that the precision can hold, and run sensitive "
    "parts in float32 (`with torch.autocast(x.device.type, enabled=False)` and `x.float()`)."
)


def finite_float32(subject: Subject) -> None:
    """Outputs and gradients are finite in float32, for zeros, for an outlier of 1e4 and for 1e-6 times noise."""
    _check_finite(subject, torch.float32)


def finite_float16(subject: Subject) -> None:
    """The same images under float16 autocast, as nnU-Net trains and predicts on a GPU."""
    _check_finite(subject, torch.float16)


def finite_bfloat16(subject: Subject) -> None:
    """The same images under bfloat16 autocast."""
    _check_finite(subject, torch.bfloat16)


def gradients(subject: Subject) -> None:
    """With deep supervision every parameter gets a gradient; data-parallel training refuses one without."""
    network = subject.build()
    loss(outputs(network, subject.image(), deep_supervision=True)).backward()
    without = [name for name, parameter in network.named_parameters() if parameter.grad is None]
    require(
        not without,
        f"no gradient reaches {', '.join(without)}. nnU-Net's DistributedDataParallel stops at an unused parameter: "
        "use it in forward, or make it a buffer or leave it out.",
    )


def images(noise: Tensor) -> dict[str, Tensor]:
    """What an image can be at worst after nnU-Net's normalisation, of the shape `(B, C, *S)` of the noise."""
    outlier = noise.clone()
    middle = outlier[0, 0].numel() // 2
    outlier.flatten(2)[:, :, middle] = OUTLIER
    return {
        "an image of zeros": torch.zeros_like(noise),
        f"an image with one voxel of {OUTLIER:g}": outlier,
        f"an image of noise times {TINY:g}": TINY * noise,
    }


def _check_finite(subject: Subject, dtype: torch.dtype) -> None:
    network = subject.build()
    precision = partial(torch.autocast, "cpu", dtype, enabled=dtype != torch.float32)
    for kind, x in images(subject.image()).items():
        network.zero_grad()
        with precision():
            results = outputs(network, x, deep_supervision=True)
        where = f"in {dtype} for {kind}"
        for number, result in enumerate(results):
            require(bool(torch.isfinite(result).all()), f"NaN or infinity in output {number} {where}. {REMEDY}")
        loss(results).backward()
        wrong = [
            name for name, p in network.named_parameters() if p.grad is not None and not torch.isfinite(p.grad).all()
        ]
        require(not wrong, f"NaN or infinity in the gradient of {', '.join(wrong[:3])} {where}. {REMEDY}")
