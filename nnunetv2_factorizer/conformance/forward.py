"""Checks of the forward pass: shapes, and nothing but the input decides on the output."""

from collections.abc import Callable
from math import prod

import torch

from nnunetv2_factorizer.conformance import rng
from nnunetv2_factorizer.conformance.subject import NUM_CLASSES, Subject, outputs, require

ODD_SIZE = (5, 7, 5)
"""Voxels at the lowest resolution. nnU-Net's planner stops before an axis is shorter than 4, wherever that is."""


def shapes(subject: Subject) -> None:
    """Logits have the size of the patch; with deep supervision one a decoder stage, highest resolution first."""
    _check_shapes(subject, batch_size=2, training=True)


def batch_of_one(subject: Subject) -> None:
    """The shapes are right for one patch alone in evaluation mode, as nnU-Net predicts."""
    _check_shapes(subject, batch_size=1, training=False)


def odd_patches(subject: Subject) -> None:
    """The shapes are right where the lowest resolution has 5, 7 and 5 voxels, as in a patch of 40x56x40."""
    total = [prod(axis) for axis in zip(*subject.configuration.strides, strict=True)]
    patch = [voxels * stride for voxels, stride in zip(ODD_SIZE, total, strict=False)]
    _check_shapes(subject.at(patch), batch_size=2, training=True)


def deterministic(subject: Subject) -> None:
    """In evaluation mode the same input gives the same output, and neither the input nor a global RNG changes."""
    network, x = subject.build().eval(), subject.image()
    original, before = x.clone(), rng.states()
    with torch.no_grad():
        first = outputs(network, x, deep_supervision=False)[0]
        after = rng.states()
        require(
            torch.equal(x, original),
            "forward changes its input in place. nnU-Net's mirroring uses the patch again: work on a copy.",
        )
        second = outputs(network, x, deep_supervision=False)[0]
    require(
        torch.equal(first, second),
        "the same input gave two different outputs in evaluation mode. Draw nothing in forward, and update state only "
        "where `self.training` is set.",
    )
    changed = [name for name in before if before[name] != after[name]]
    require(
        not changed,
        f"forward in evaluation mode changes the global generator of {', '.join(changed)}. Draw initial values in the "
        "constructor and keep them in a buffer.",
    )


def global_rng(subject: Subject) -> None:
    """Neither the constructor nor forward in training seeds a global RNG: a training would see the same data again."""
    _check_unseeded("the constructor", subject.build)
    network, x = subject.build(), subject.image()
    _check_unseeded("forward in training mode", lambda: network(x))


def _check_shapes(subject: Subject, batch_size: int, training: bool) -> None:
    network, x = subject.build().train(training), subject.image(batch_size)
    expected = [(batch_size, NUM_CLASSES, *size) for size in subject.output_sizes()]
    for deep_supervision, wanted in ((True, expected), (False, expected[:1])):
        got = [tuple(result.shape) for result in outputs(network, x, deep_supervision)]
        require(
            got == wanted,
            f"for an input {tuple(x.shape)} with strides {[list(s) for s in subject.configuration.strides]}, deep "
            f"supervision {'on' if deep_supervision else 'off'}, forward returned {got}; nnU-Net needs {wanted}"
            f"{', one a decoder stage, highest resolution first' if deep_supervision else ''}.",
        )


def _check_unseeded(what: str, run: Callable[[], object]) -> None:
    """Two starts that differ must end differently, whatever is drawn on the way."""
    ends = []
    for start in (1, 2):
        rng.seed(start)
        run()
        ends.append(rng.states())
    same = [name for name in ends[0] if ends[0][name] == ends[1][name]]
    require(
        not same,
        f"{what} seeds the global generator of {', '.join(same)}. Use a generator of your own: "
        "torch.Generator().manual_seed(0), numpy.random.default_rng(0), random.Random(0).",
    )
