"""The network of a pre-training as a predictor: its features, while its segmentation heads are still random numbers.

nnU-Net builds a network by the trainer of the checkpoint. A pre-training's trainer builds one with the heads of its
task, which `checkpoint_pretrained.pth` leaves out; so the network is built from what the checkpoint says of it.
"""

from pathlib import Path

from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunetv2_factorizer.models.checkpoint import RECORD_KEY, check_version, read_checkpoint
from nnunetv2_factorizer.models.folders import require_checkpoint
from nnunetv2_factorizer.models.json_files import read_json


def initialise_from_pretraining(predictor: nnUNetPredictor, folder: Path, fold: str, checkpoint_name: str) -> None:
    """What `initialize_from_trained_model_folder` does, for one fold of a pre-training.

    Args:
        predictor: to initialise; it does not mirror, since no pre-training says that its features may be.
        folder: `DATASET/TRAINER__PLANS__CONFIGURATION`.
        fold: of it.
        checkpoint_name: of the weights without the heads of the task.

    Raises:
        UserError: the checkpoint is missing, damaged, or of a newer version of this package.
    """
    path = str(require_checkpoint(folder, fold, checkpoint_name))
    checkpoint = read_checkpoint(path, "Copy it again, or pre-train anew.")
    check_version(checkpoint, path)
    plans, dataset_json = PlansManager(read_json(folder / "plans.json")), read_json(folder / "dataset.json")
    configuration = plans.get_configuration(checkpoint["init_args"]["configuration"])
    architecture = checkpoint["init_args"][RECORD_KEY]["architecture"]
    network = get_network_from_plans(
        architecture["network_class_name"],
        architecture["arch_kwargs"],
        architecture["_kw_requires_import"],
        determine_num_input_channels(plans, configuration, dataset_json),
        plans.get_label_manager(dataset_json).num_segmentation_heads,
        deep_supervision=False,
    )
    weights = checkpoint["network_weights"]
    network.load_state_dict(weights)
    predictor.manual_initialization(
        network, plans, configuration, [weights], dataset_json, checkpoint["trainer_name"], None
    )
