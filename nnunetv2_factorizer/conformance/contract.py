"""Checks of what nnU-Net reads from a network: the constructor, flags and names. The docstrings are what users see."""

import inspect
import json
import pydoc

import torch
from torch import nn

from nnunetv2_factorizer.conformance.subject import INPUT_CHANNELS, CheckFailed, Subject, decoder, outputs, require


def builds(subject: Subject) -> None:
    """nnU-Net builds the network from plans: by dotted path, from JSON values, `strides` among them."""
    path = subject.dotted_path
    require(
        pydoc.locate(path) is subject.network_class,
        f"plans name a network by its dotted path, and {path} is not this class when imported. Define the class at the "
        "top level of a module of an installed package.",
    )
    plan = subject.plan()
    try:
        json.dumps(plan)
    except (TypeError, ValueError) as error:
        raise CheckFailed(
            f"plans are JSON files, and the arguments {plan} cannot stand in one: {error}. Give numbers, strings and "
            "lists, and a class by its dotted name with its key in kw_requires_import."
        ) from error
    require(
        "strides" in plan,
        "the constructor takes no `strides`. nnU-Net reads the sizes of the labels for deep supervision from this "
        "argument in the plans: take it, one list of numbers a stage.",
    )
    for deep_supervision in (True, False):
        try:
            network = subject.build(deep_supervision=deep_supervision)
        except Exception as error:
            raise CheckFailed(
                f"nnU-Net calls {subject.network_class.__name__}(input_channels={INPUT_CHANNELS}, num_classes=..., "
                f"**arch_kwargs, deep_supervision={deep_supervision}) with arch_kwargs {sorted(plan)}, which raised "
                f"{type(error).__name__}: {error}. Take these arguments by name, as the lists that JSON makes of "
                "tuples, and give the others a default or a value in arch_kwargs."
            ) from error
        require(isinstance(network, nn.Module), f"{path} must be a torch.nn.Module, got {type(network).__name__}.")


def deep_supervision(subject: Subject) -> None:
    """`decoder.deep_supervision` starts as the argument says and switches a list of logits on and off."""
    x = subject.image()
    for built_with in (True, False):
        network = subject.build(deep_supervision=built_with)
        flag = getattr(decoder(network), "deep_supervision", None)
        require(
            flag is built_with,
            f"with deep_supervision={built_with} the flag `decoder.deep_supervision` is {flag}; nnU-Net builds the "
            "network once and sets this flag later. Set it in the constructor from the argument of this name.",
        )
        for now in (True, False):
            decoder(network).deep_supervision = now
            with torch.no_grad():
                result = network(x)
            expected = (list, tuple) if now else torch.Tensor
            require(
                isinstance(result, expected),
                f"built with deep_supervision={built_with}, then `decoder.deep_supervision = {now}`: forward returned "
                f"a {type(result).__name__}, nnU-Net needs {'a list of tensors' if now else 'one tensor'}. "
                "Read the flag in forward, and make all heads in the constructor whatever it says.",
            )


def heads(subject: Subject) -> None:
    """The heads are in `decoder.seg_layers`, one an output, and what they give is returned without non-linearity."""
    network, x = subject.build().eval(), subject.image()
    seg_layers = getattr(decoder(network), "seg_layers", None)
    require(
        isinstance(seg_layers, nn.ModuleList) and len(seg_layers) > 0,
        "there is no ModuleList `decoder.seg_layers`. nnU-Net skips keys with `.seg_layers.` when it loads pre-trained "
        "weights: keep the layers that make the logits there, one an output.",
    )
    assert isinstance(seg_layers, nn.ModuleList)
    with torch.no_grad():
        before = outputs(network, x, deep_supervision=True)
        require(
            len(seg_layers) == len(before),
            f"`decoder.seg_layers` has {len(seg_layers)} heads for {len(before)} outputs with deep supervision. "
            "Have one for each output.",
        )
        for head in seg_layers:
            last = [module for module in head.modules() if list(module.parameters(recurse=False))][-1]
            for parameter in last.parameters(recurse=False):
                parameter.mul_(-2)
        after = outputs(network, x, deep_supervision=True)
    for number, (old, new) in enumerate(zip(before, after, strict=True)):
        require(
            torch.allclose(new, -2 * old, rtol=1e-3, atol=1e-5),
            f"output {number} is not linear in the parameters of `decoder.seg_layers`: a non-linearity, such as "
            "softmax, sigmoid or ReLU, follows, or the output comes from elsewhere. Return logits; nnU-Net's loss and "
            "inference apply softmax or sigmoid themselves.",
        )


def initialize(subject: Subject) -> None:
    """A static method `initialize(module)` that nnU-Net applies to each module; weights are finite afterwards."""
    require(
        isinstance(inspect.getattr_static(subject.network_class, "initialize", None), staticmethod),
        "there is no static method `initialize(module)`. nnU-Net calls `network.apply(network.initialize)`: add "
        "`@staticmethod def initialize(module)`, empty to keep PyTorch's initialisation.",
    )
    network = subject.build()
    network.apply(network.initialize)  # type: ignore[arg-type]
    wrong = [name for name, parameter in network.named_parameters() if not torch.isfinite(parameter).all()]
    require(
        not wrong,
        f"NaN or infinity in {', '.join(wrong[:3])} of a new network. Set every parameter in the constructor or in "
        "`initialize`; torch.empty leaves whatever was in memory.",
    )


def pretraining_keys(subject: Subject) -> None:
    """`key_to_encoder`, `key_to_stem`, `keys_to_in_proj` name submodules: nnssl fills them with pre-trained weights."""
    network = subject.build()
    remedy = "See AbstractDynamicNetworkArchitectures; skip this check if nobody will pre-train the network with nnssl."
    for key in ("key_to_encoder", "key_to_stem", "keys_to_in_proj"):
        require(hasattr(network, key), f"there is no attribute `{key}`, which nnssl reads. {remedy}")
    in_proj = network.keys_to_in_proj
    require(
        isinstance(in_proj, (list, tuple)) and len(in_proj) > 0,
        f"`keys_to_in_proj` must be a tuple of names, got {in_proj!r}. {remedy}",
    )
    assert isinstance(in_proj, (list, tuple))
    lpe = getattr(network, "key_to_lpe", None)  # None where there is no learnable position embedding
    named = {"key_to_encoder": network.key_to_encoder, "key_to_stem": network.key_to_stem}
    named |= {f"keys_to_in_proj[{i}]": name for i, name in enumerate(in_proj)}
    names = set(dict(network.named_modules(remove_duplicate=False)))
    parameters = set(dict(network.named_parameters(remove_duplicate=False)))
    for key, name in named.items():
        require(name in names, f"`{key}` is {name!r}, which is no submodule of the network. {remedy}")
    require(
        lpe is None or lpe in parameters,
        f"`key_to_lpe` is {lpe!r}, which is no parameter of the network: nnU-Net calls `get_parameter` on it. {remedy}",
    )
    for name in in_proj:
        shape = tuple(getattr(network.get_submodule(name), "weight", torch.empty(0)).shape)
        require(
            len(shape) > 1 and shape[1] == INPUT_CHANNELS,
            f"`keys_to_in_proj` names {name!r}, whose weight has shape {shape}; its second axis must be the "
            f"{INPUT_CHANNELS} input channels. {remedy}",
        )
