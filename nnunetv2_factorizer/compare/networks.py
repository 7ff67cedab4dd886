"""What a name on the command line stands for: a trainer of nnU-Net, which has a network and a recipe.

One rule: `NAME` is the trainer `nnUNetTrainerNAME`, which nnU-Net finds among its own, ours and those of
`nnUNet_extTrainer`; `Factorizer` at the end may be left out. The names in `NNUNET` are nnU-Net's own networks. So
`Hybrid` is `nnUNetTrainerHybridFactorizer`, `Muon` is the network of the plans with Muon, and a name with
`_AuthorsRecipe` is a network with the recipe of its authors.
"""

import io
import os
import re
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cache

from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.ext_trainer import VARIABLE, trainers_folder

PLAIN, PRIMUS = "ExperimentPlanner", "Primus"
NNUNET = {
    "nnU-Net": ("nnUNetTrainer", PLAIN),
    "ResEncM": ("nnUNetTrainer", "nnUNetPlannerResEncM"),
    "ResEncL": ("nnUNetTrainer", "nnUNetPlannerResEncL"),
    PRIMUS: ("nnUNet_PrimusV3S_Trainer", PLAIN),
}
"""Name to nnU-Net's trainer and planner."""
REFERENCE = "nnU-Net"
"""That the others are compared with."""


@dataclass(frozen=True)
class Network:
    """A name, its trainer, and the planner of nnU-Net by which the network comes from plans."""

    name: str
    trainer: str
    planner: str = PLAIN

    @property
    def trainer_class(self) -> type[nnUNetTrainer]:
        """As nnU-Net finds it."""
        found = _find(self.trainer)
        assert found is not None
        return found


def network_of(name: str) -> Network:
    """The network of a name.

    Raises:
        UserError: nnU-Net finds no such trainer; the message lists the names.
    """
    if name in NNUNET:
        return Network(name, *NNUNET[name])
    for trainer in (f"nnUNetTrainer{name}", f"nnUNetTrainer{name}Factorizer"):
        if name.isidentifier() and _find(trainer) is not None:
            return Network(name, trainer)
    raise UserError(
        f"there is no network {name!r}: nnU-Net finds no trainer nnUNetTrainer{name}.",
        f"Give some of {', '.join(known_names())}. Your own trainer nnUNetTrainerX in a folder of {VARIABLE} is X.",
    )


def known_names() -> list[str]:
    """nnU-Net's networks and our trainers that train from scratch in the ordinary way."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(trainers_folder().glob("nnUNetTrainer*.py"))]
    classes = re.findall(r"^class nnUNetTrainer([A-Za-z0-9]+(?:_AuthorsRecipe)?)\(", "\n".join(texts), re.M)
    return [*NNUNET, *(re.sub(r"(?<=.)Factorizer$", "", name) for name in classes)]


@cache  # nnU-Net imports every trainer that it looks through
def _find(trainer: str) -> type[nnUNetTrainer] | None:
    folders = os.environ.get(VARIABLE, "").split(os.pathsep)
    if str(trainers_folder()) not in folders:  # the search is nnU-Net's, which goes by this variable
        os.environ[VARIABLE] = os.pathsep.join(filter(None, [*folders, str(trainers_folder())]))
    try:
        with redirect_stdout(io.StringIO()):  # nnU-Net says at length where it looks
            return recursive_find_trainer_class_by_name(trainer)
    except RuntimeError as error:
        if "Could not find requested nnunet trainer" not in str(error):
            raise
        return None
