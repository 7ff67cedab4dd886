"""Images with known regions, and networks that were trained on some of them for seconds."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from numpy.typing import NDArray
from torch.nn import functional

from nnunetv2_factorizer.concepts.dictionary import ModelIdentity
from nnunetv2_factorizer.inference.images import Case
from tests.inference.small_predictor import write_channels
from tests.training.small_trainer import ENDING, dataset_json, plans

REGIONS = 4
STAGE = "encoder.stages.1"
SPACING = (1.0, 1.0, 1.0)
NETWORKS = ("Factorizer", "PlainConvUNet")
IDENTITY = ModelIdentity(
    "model", "0", "checkpoint_final.pth", "sha", "Dataset997_Small", "3d_fullres", [1.0], "trainer"
)


def make_image(seed: int, size: tuple[int, ...] = (24, 24, 24)) -> tuple[NDArray, NDArray]:
    """An image `(2, z, y, x)` and its four regions: dark or bright in one channel and in the other, with noise."""
    rng = np.random.default_rng(seed)
    # Every slice has a part of each: instance normalisation would hide which one a slice is full of.
    points = rng.permutation([(0.5, 0.25, 0.25), (0.5, 0.25, 0.75), (0.5, 0.75, 0.25), (0.5, 0.75, 0.75)]) * size
    points[:, 1:] += rng.uniform(-3, 3, (REGIONS, 2))
    grid = np.moveaxis(np.indices(size), 0, -1)[..., None, :]
    regions = np.square(grid - points).sum(-1).argmin(-1)
    means = np.stack([1 + regions // 2, 1 + regions % 2])
    return (means + rng.normal(0, 0.3, means.shape)).astype(np.float32), regions


def write_image(folder: Path, seed: int, size: tuple[int, ...] = (24, 24, 24), **geometry: Any) -> Case:
    """The files of an image of `make_image`, with `Spacing`, `Origin` and `Direction` of `geometry`."""
    name = f"case_{seed}"
    return Case(name, tuple(write_channels(folder, *make_image(seed, size)[0], name=name, ending=ENDING, **geometry)))


def make_predictor(network_name: str, dimensions: int) -> nnUNetPredictor:
    """Two channels and four labels, with random weights."""
    manager = PlansManager(_plans(network_name, dimensions))
    configuration = manager.get_configuration("3d_fullres")
    torch.manual_seed(0)
    network = get_network_from_plans(
        configuration.network_arch_class_name, configuration.network_arch_init_kwargs,
        configuration.network_arch_init_kwargs_req_import, 2, REGIONS, deep_supervision=False,
    )  # fmt: skip
    predictor = nnUNetPredictor(use_mirroring=False, device=torch.device("cpu"), allow_tqdm=False)
    predictor.perform_everything_on_device = False
    labels = {"labels": {"background": 0} | {f"region_{i}": i for i in range(1, REGIONS)}}
    predictor.manual_initialization(
        network, manager, configuration, [network.state_dict()], dataset_json(2) | labels, "nnUNetTrainer", (0, 1, 2)
    )
    return predictor


@cache
def trained_predictor(network_name: str, dimensions: int) -> nnUNetPredictor:
    """After 60 steps; the same object for every test, which changes nothing in it."""
    predictor = make_predictor(network_name, dimensions)
    network = predictor.network.train()
    images, labels = (torch.from_numpy(np.stack(arrays)) for arrays in zip(*map(make_image, range(16)), strict=True))
    statistics = images.flatten(2).mean(2)[..., None, None, None], images.flatten(2).std(2)[..., None, None, None]
    images = (images - statistics[0]) / statistics[1]  # as nnU-Net does
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    for step in range(60):
        chosen = (slice(None), slice(None), step % 24) if dimensions == 2 else (slice(step % 16, step % 16 + 1),)
        x, y = images[chosen], labels[chosen[0], step % 24] if dimensions == 2 else labels[chosen]
        optimiser.zero_grad()
        functional.cross_entropy(network(x), y).backward()
        optimiser.step()
    network.eval()
    predictor.list_of_parameters = [network.state_dict()]
    return predictor


def load_trained() -> nnUNetPredictor:
    """What workers load."""
    torch.set_num_threads(1)
    return trained_predictor("Factorizer", 3)


def _plans(network_name: str, dimensions: int) -> dict[str, Any]:
    patch = [24] * dimensions
    shared = {
        "n_stages": 3,
        "features_per_stage": [8, 16, 16],
        "conv_op": f"torch.nn.modules.conv.Conv{dimensions}d",
        "strides": [[1] * dimensions, [2] * dimensions, [2] * dimensions],
    }
    own = {"window_size": 4, "head_dim": 4, "patch_size": patch, "local_path": "depthwise"}
    the_plans = plans(**shared, **own)
    configuration = the_plans["configurations"]["3d_fullres"]
    configuration |= {"patch_size": patch, "spacing": list(SPACING[:dimensions])}
    if network_name == "PlainConvUNet":
        configuration["architecture"] = {
            "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
            "arch_kwargs": shared
            | {
                "kernel_sizes": [[3] * dimensions] * 3,
                "n_conv_per_stage": [1, 1, 1],
                "n_conv_per_stage_decoder": [1, 1],
                "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{dimensions}d",
                "norm_op_kwargs": {"eps": 1e-5, "affine": True},
                "nonlin": "torch.nn.LeakyReLU",
                "nonlin_kwargs": {"inplace": True},
                "conv_bias": True,
            },
            "_kw_requires_import": ["conv_op", "norm_op", "nonlin"],
        }
    return the_plans
