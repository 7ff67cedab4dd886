"""What a network costs, measured by a few iterations of its training before the training itself."""

import copy
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import torch
from batchgenerators.dataloading.multi_threaded_augmenter import MultiThreadedAugmenter
from batchgenerators.dataloading.nondet_multi_threaded_augmenter import NonDetMultiThreadedAugmenter
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from nnunetv2_factorizer.factorization import NMF
from nnunetv2_factorizer.training.bare import bare

WARM_UP, MEASURED = 2, 7
"""Iterations; the first ones load libraries and compile."""


@dataclass(frozen=True)
class Cost:
    """Of one network on one machine."""

    parameters: int
    gflops: float
    """One patch through the network with all its heads; a multiplication and an addition are two."""
    step: float
    """Seconds of a training iteration with its batch at hand, the median."""
    iteration: float
    """The same with the wait for the batch."""
    validation: float
    """Seconds of a batch of validation, with the wait for it."""
    peak_gib: float | None
    """Of memory that PyTorch had on the GPU; None without one."""


def measure(trainer: Any) -> Cost:
    """Trains for a few iterations. The trainer is of no use afterwards.

    Args:
        trainer: of nnU-Net, not initialised.
    """
    trainer.initialize()
    network = bare(trainer.network)
    parameters = sum(p.numel() for p in network.parameters())
    trainer.set_deep_supervision_enabled(trainer.enable_deep_supervision)
    flops = gflops(network, (trainer.num_input_channels, *trainer.configuration_manager.patch_size))
    trainer.dataloader_train, trainer.dataloader_val = trainer.get_dataloaders()
    cuda = trainer.device.type == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    try:
        trainer.on_train_epoch_start()
        waits, steps = _seconds(trainer.dataloader_train, trainer.train_step, cuda)
        peak = torch.cuda.max_memory_allocated() / 2**30 if cuda else None
        with torch.no_grad():
            trainer.on_validation_epoch_start()
            of_validation = _seconds(trainer.dataloader_val, trainer.validation_step, cuda)
    finally:
        for loader in (trainer.dataloader_train, trainer.dataloader_val):
            if isinstance(loader, (MultiThreadedAugmenter, NonDetMultiThreadedAugmenter)):
                loader._finish()
    step = statistics.median(steps)
    return Cost(
        parameters=parameters,
        gflops=flops,
        step=step,
        iteration=statistics.median(waits) + step,
        validation=sum(map(statistics.median, of_validation)),
        peak_gib=peak,
    )


def gflops(network: nn.Module, patch: tuple[int, ...]) -> float:
    """Billions of floating-point operations of a forward pass with all heads.

    Convolutions and matrix products are counted, of tensors without numbers. A factorization counts by its plain
    iterations, as in the paper.

    Args:
        network: as it is trained.
        patch: `(C, *S)` of one patch.
    """
    network = copy.deepcopy(network).to("meta").eval()
    module: Any
    for module in network.modules():
        if isinstance(module, NMF):
            module.closed_form = False
        recompute = getattr(module, "recompute", None)  # of a block, or of all stages of a decoder
        if recompute is not None:  # inside our operators nothing is counted
            module.recompute = [False] * len(recompute) if isinstance(recompute, list) else False
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.empty(1, *patch, device="meta"))
    return counter.get_total_flops() / 1e9


def _seconds(loader: Any, step: Callable[[Any], object], cuda: bool) -> tuple[list[float], list[float]]:
    """Of each iteration, the wait for its batch and the step."""
    waits, steps = [], []
    for _ in range(WARM_UP + MEASURED):
        start = perf_counter()
        batch = next(loader)
        ready = perf_counter()
        step(batch)
        if cuda:
            torch.cuda.synchronize()
        waits.append(ready - start)
        steps.append(perf_counter() - ready)
    return waits[WARM_UP:], steps[WARM_UP:]
