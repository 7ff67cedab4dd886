"""Names, the trainers that they stand for, and the plans of each."""

import json
from types import SimpleNamespace

import pytest
import torch
from dynamic_network_architectures.architectures.unet import ResidualEncoderUNet
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

from nnunetv2_factorizer.compare.networks import NNUNET, Network, known_names, network_of
from nnunetv2_factorizer.compare.planning import plans_for, residual
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.ext_trainer import VARIABLE
from nnunetv2_factorizer.families import FACTORIZER
from tests.training.networks import plans_of


def test_a_name_is_a_trainer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)  # ours are found where nobody has told nnU-Net of them
    for name, trainer in {"Hybrid": "nnUNetTrainerHybridFactorizer", "Muon": "nnUNetTrainerMuon"}.items():
        found = network_of(name)
        assert found.trainer == trainer == found.trainer_class.__name__
    assert network_of("Primus").trainer_class.__name__ == "nnUNet_PrimusV3S_Trainer"


def test_an_unknown_name_is_told_the_names() -> None:
    with pytest.raises(UserError, match="there is no network 'Hybird'") as caught:
        network_of("Hybird")
    assert all(name in caught.value.remedy.split(".")[0] for name in ("nnU-Net", "ResEncM", "Hybrid", "Muon"))
    with pytest.raises(UserError, match=r"no network '\.\./x'"):
        network_of("../x")
    names = known_names()
    assert len(set(names)) == len(names)
    assert {*NNUNET, *FACTORIZER.variants} <= set(names)
    assert not [name for name in names if "epochs" in name or "Adapt" in name]


def test_all_have_the_patch_and_batch_of_the_plans() -> None:
    plans = plans_of("PlainConvUNet")
    before = json.dumps(plans)
    given = plans["configurations"]["3d_fullres"]
    same = plans_for(Network("Hybrid", "nnUNetTrainerHybridFactorizer"), plans, "3d_fullres", None)
    assert same == plans
    planner = SimpleNamespace(
        UNet_class=ResidualEncoderUNet, UNet_blocks_per_stage_encoder=(1, 3, 4, 6), UNet_blocks_per_stage_decoder=(1, 1)
    )
    architecture = residual(given["architecture"], planner)
    assert json.dumps(plans) == before
    kwargs = architecture["arch_kwargs"]
    assert kwargs["n_blocks_per_stage"] == [1, 3, 4]
    network = get_network_from_plans(
        architecture["network_class_name"], kwargs, architecture["_kw_requires_import"], 2, 3, deep_supervision=False
    )
    assert isinstance(network, ResidualEncoderUNet)
    assert network(torch.zeros(1, 2, *given["patch_size"])).shape == (1, 3, *given["patch_size"])


def test_primus_in_2d_and_on_a_patch_that_it_cannot_divide() -> None:
    primus, plans = network_of("Primus"), plans_of("PlainConvUNet")
    settings = plans["configurations"]["3d_fullres"]
    for patch, cause in (([16, 16], "3D only"), ([8, 16, 20], r"8x16x20 voxels: it divides it into cubes of 8")):
        settings["patch_size"] = patch
        with pytest.raises(UserError, match=cause) as caught:
            plans_for(primus, plans, "3d_fullres", None)
        assert "leave it out" in caught.value.remedy
