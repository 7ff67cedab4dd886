"""An objective beside the segmentation, by nnU-Net's commands; nnU-Net predicts with the network alone."""

import torch

from nnunetv2_factorizer.adaptation.with_objective import HEADS_KEY
from tests.end_to_end.datasets import values
from tests.end_to_end.workspace import Workspace, checkpoint

TRAINER = "nnUNetTrainerShort_Consistency"


def test_a_model_is_trained_and_predicts(phantom: Workspace) -> None:
    fold = phantom.train(TRAINER, SKIP_VALIDATION="1")
    log = next(fold.glob("training_log_*.txt")).read_text()
    assert log.count("Consistency: consistency ") == 2
    start, final = (checkpoint(fold, name) for name in ("checkpoint_start.pth", "checkpoint_final.pth"))
    assert not any("generator" in name for name in final["network_weights"])
    before, after = (saved["init_args"][HEADS_KEY]["weights"] for saved in (start, final))
    assert all(not torch.equal(weight, before[name]) for name, weight in after.items())
    predicted = phantom.predict(TRAINER, "predicted_by_consistency")
    assert all(values(path) <= {0, 1, 2} for path in predicted.glob("*.nii.gz"))
    assert len(list(predicted.glob("*.nii.gz"))) == 2
