"""The model folder of the export tests, read; its network has the blocks E1, E2, E3, D2 and D1."""

from pathlib import Path
from typing import Any

import pytest
import torch

from nnunetv2_factorizer.models.trained import TrainedModel, build_network, read_model
from nnunetv2_factorizer.network import Factorizer
from tests.models.conftest import model as folder
from tests.models.conftest import plans as plans_of_network
from tests.models.conftest import trainer

__all__ = ["folder", "plans_of_network", "trainer"]

SPACING = (2.0, 1.0, 0.5)


@pytest.fixture
def plans(plans_of_network: dict[str, Any]) -> dict[str, Any]:
    """With all that prediction asks for."""
    resampling = {
        f"resampling_fn_{kind}{end}": value
        for kind in ("data", "seg", "probabilities")
        for end, value in (
            ("", "resample_data_or_seg_to_shape"),
            ("_kwargs", {"is_seg": kind == "seg", "order": 1, "order_z": 0, "force_separate_z": None}),
        )
    }
    fullres = plans_of_network["configurations"]["3d_fullres"]
    fullres |= resampling | {"data_identifier": "data", "spacing": list(SPACING)}
    axes = {"transpose_forward": [0, 1, 2], "transpose_backward": [0, 1, 2]}
    return plans_of_network | axes | {"image_reader_writer": "SimpleITKIO"}


@pytest.fixture
def model(folder: Path) -> TrainedModel:
    return read_model(folder, ["0", "1"], "checkpoint_final.pth")


def meta_network(model: TrainedModel, **changes: Any) -> Factorizer:
    with torch.device("meta"):
        return build_network(model, changes)
