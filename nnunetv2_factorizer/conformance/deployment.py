"""Checks of what happens to a network around its training: planned, compiled, saved, loaded, exported."""

import contextlib
import io
import warnings
from functools import partial
from typing import Any

import torch
from nnunetv2.run.load_pretrained_weights import load_pretrained_weights
from torch import Tensor, nn

from nnunetv2_factorizer.conformance.subject import NUM_CLASSES, CheckFailed, Subject, decoder, loss, outputs, require
from nnunetv2_factorizer.network.memory import bytes_kept


def state_dict(subject: Subject) -> None:
    """A checkpoint of the network loads, strictly, into one that is built for inference, which then gives the same."""
    trained, x = subject.build(), subject.image()
    with torch.no_grad():
        outputs(trained, x, deep_supervision=True)  # running statistics are part of the state
        for_inference = subject.build(deep_supervision=False)
        try:
            for_inference.load_state_dict(_saved(trained.state_dict()))
        except RuntimeError as error:
            raise CheckFailed(
                f"the weights do not load into a network built with deep_supervision=False: {error} Make the same "
                "parameters and buffers whatever the flag says."
            ) from error
        expected = outputs(trained.eval(), x, deep_supervision=False)[0]
        actual = outputs(for_inference.eval(), x, deep_supervision=False)[0]
    require(
        torch.equal(actual, expected),
        "a second network with the same state_dict gives another output, so that part of the state is not in it. "
        "Register fixed random tensors with `register_buffer`, and learned ones as parameters.",
    )


def pretrained_weights(subject: Subject) -> None:
    """The weights load into a network for other classes by nnU-Net's `-pretrained_weights`: all but the heads."""
    source, target = subject.build(), subject.build(num_classes=NUM_CLASSES + 1)
    file = io.BytesIO()
    torch.save({"network_weights": source.state_dict()}, file)
    file.seek(0)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            load_pretrained_weights(target, file)
    except AssertionError as error:
        raise CheckFailed(
            f"{str(error).partition(' Pretrained model:')[0]} Only layers in `decoder.seg_layers` may depend on "
            "num_classes."
        ) from error


def memory_estimate(subject: Subject) -> None:
    """`compute_conv_feature_map_size` grows with the patch as the memory that training needs does, within 10 %."""
    require(
        callable(getattr(subject.network_class, "compute_conv_feature_map_size", None)),
        "there is no method `compute_conv_feature_map_size(input_size)`. nnU-Net's planner finds the patch and the "
        "batch size with it: return the numbers that all layers put out for a patch of this size.",
    )
    patch = subject.configuration.patch_size
    patches = (patch, tuple(2 * voxels for voxels in patch))
    estimates, measured = [], []
    for size in patches:
        planned = subject.at(size)
        network: Any = planned.build()
        x = planned.image()
        estimates.append(float(network.compute_conv_feature_map_size(size)))
        measured.append(bytes_kept(network, partial(network, x)))
    require(min(estimates) > 0, f"`compute_conv_feature_map_size` must be positive, got {estimates} for {patches}.")
    estimated_growth, growth = estimates[1] / estimates[0], measured[1] / measured[0]
    require(
        abs(estimated_growth / growth - 1) < 0.1,
        f"from a patch of {patches[0]} to {patches[1]} `compute_conv_feature_map_size` grows {estimated_growth:.2f} "
        f"times, what is kept for the backward pass {growth:.2f} times. Count what each layer puts out for "
        "`input_size`; nnU-Net's planner compares patches by this number.",
    )


def torch_compile(subject: Subject) -> None:
    """Compiled, as nnU-Net trains on a GPU, outputs and gradients are the same, and deep supervision still switches."""
    network, x = subject.build(), subject.image()
    expected = _step(network, network, x)
    torch.compiler.reset()  # what is compiled for other configurations would count towards the limit of recompilations
    try:
        # The tracer and autograd's part are what a network can break; the code generator would take minutes.
        compiled = torch.compile(network, backend="aot_eager")
        actual = _step(network, compiled, x)
        decoder(network).deep_supervision = False
        with torch.no_grad():
            one = compiled(x)
    finally:
        torch.compiler.reset()
    worst = max(_relative_error(a, e) for a, e in zip(actual, expected, strict=True))
    require(
        worst < 1e-3,
        f"compiled, outputs or gradients differ from the uncompiled network by {worst:.1e} (relative norm). Look for "
        "state that forward changes and for values read from tensors (.item(), .numpy()).",
    )
    require(
        isinstance(one, Tensor),
        f"compiled with deep supervision on, the network returns a {type(one).__name__} after "
        "`decoder.deep_supervision = False`. Read the flag from `self` in forward.",
    )


def torch_export(subject: Subject) -> None:
    """`torch.export` makes a program of the network that gives the same."""
    network, x = subject.build(deep_supervision=False).eval(), subject.image()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = network(x)
        try:
            program = torch.export.export(network, (x,))
        except Exception as error:
            first_line = str(error).strip().partition("\n")[0]
            raise CheckFailed(
                f"torch.export raised {type(error).__name__}: {first_line} Forward must not branch on the values of "
                "tensors, and custom operators need a fake implementation."
            ) from error
        error_of_program = _relative_error(program.module()(x), expected)
    require(error_of_program < 1e-3, f"the exported program differs by {error_of_program:.1e} (relative norm).")


def _saved(weights: dict[str, Any]) -> dict[str, Any]:
    """As they come back from a file."""
    file = io.BytesIO()
    torch.save(weights, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def _step(network: nn.Module, function: Any, x: Tensor) -> list[Tensor]:
    """Outputs and gradients of one training step."""
    network.zero_grad()
    decoder(network).deep_supervision = True
    results = list(function(x))
    loss(results).backward()
    return [*results, *(p.grad for p in network.parameters() if p.grad is not None)]


def _relative_error(actual: Tensor, expected: Tensor) -> float:
    return ((actual - expected).norm() / expected.norm().clamp_min(1e-6)).item()
