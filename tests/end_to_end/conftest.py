"""Data and models that several modules start from: a command of nnU-Net takes seconds, so each is run once."""

from pathlib import Path

import pytest

from nnunetv2_factorizer.demo.phantom import write_dataset
from tests.end_to_end.workspace import Workspace

SWIN = "nnUNetTrainerShortSwinFactorizer"
"""The trainer of `trained`."""


@pytest.fixture(scope="session")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The phantom data set (four channels, thick slices), planned and preprocessed by nnU-Net itself."""
    workspace = Workspace(tmp_path_factory.mktemp("nnunet"), "Dataset998_Phantom")
    write_dataset(workspace.raw, num_training=6, num_test=2)
    workspace.plan_and_preprocess("2d", "3d_fullres")
    return workspace


@pytest.fixture(scope="session")
def trained(phantom: Workspace) -> Path:
    """Fold 0 of a Swin Factorizer on nnU-Net's own plans, with probabilities of its validation."""
    return phantom.train(SWIN, "--npz")


@pytest.fixture(scope="session")
def predicted(phantom: Workspace, trained: Path) -> Path:
    """What the model of `trained` predicts for the test cases, with probabilities."""
    return phantom.predict(SWIN, "predicted", "--save_probabilities")
