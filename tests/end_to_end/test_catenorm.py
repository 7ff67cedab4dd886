"""CateNorm trained and predicted by nnU-Net's commands: both passes without any command of ours."""

import torch

from tests.end_to_end.datasets import values
from tests.end_to_end.workspace import Workspace, checkpoint

TRAINER = "nnUNetTrainerShort_CateNorm"


def test_stock_commands_train_and_predict(phantom: Workspace) -> None:
    fold = phantom.train(TRAINER, configuration="2d", SKIP_VALIDATION="1")
    start, final = (checkpoint(fold, f"checkpoint_{name}.pth")["network_weights"] for name in ("start", "final"))
    gammas = [name for name in final if name.endswith("gamma.weight")]
    assert gammas
    assert not any(start[name].any() for name in gammas)
    assert all(final[name].any() for name in gammas)
    predicted = phantom.predict(TRAINER, "predicted_catenorm", configuration="2d", nnUNet_compile="t")
    files = sorted(predicted.glob("*.nii.gz"))
    assert len(files) == 2
    assert set().union(*map(values, files)) > {0}
    assert all(torch.isfinite(weight).all() for weight in final.values())
