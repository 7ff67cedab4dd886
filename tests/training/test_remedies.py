"""Plans that do not work: the message names the argument, its value, the file and what to change."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.network import Factorizer
from nnunetv2_factorizer.trainers.nnUNetTrainerFactorizer import nnUNetTrainerFactorizer
from nnunetv2_factorizer.trainers.nnUNetTrainerSwinFactorizer import nnUNetTrainerSwinFactorizer
from nnunetv2_factorizer.training import Guard
from tests.training.small_trainer import DATASET, PATCH, make_batch, make_trainer, plans


@pytest.mark.parametrize("trainer_class", [nnUNetTrainerFactorizer, nnUNetTrainerSwinFactorizer])
@pytest.mark.parametrize(
    ("edited", "cause"),
    [
        ({"window_size": 0}, r"window_size must be a whole number of at least 1, got 0"),
        ({"window_size": [4, 4]}, r"window_size must be one value or a list of 3, one a stage, got \[4, 4\]"),
        ({"head_dim": 5}, r"head_dim must divide the channels of its stage, 8 \(features_per_stage\), got 5"),
        ({"rank": 99}, r"rank must be a whole number from 1 to 4.*, got 99"),
        ({"rank": 1.5}, r"rank must be a whole number .*, got 1\.5"),
        ({"strides": [[1, 1, 1], [1, 2, 2], [3, 2, 2]]}, r"patch_size must be divisible by .*\[3, 4, 4\], got \(8, 16"),
        ({"strides": [[1, 1, 1], [1, 2, 2]]}, r"strides must be one value or a list of 3, one a stage"),
        ({"windows": 4}, r"unexpected keyword argument 'windows'"),
    ],
)
def test_an_impossible_argument_is_named_with_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trainer_class: Any, edited: dict[str, Any], cause: str
) -> None:
    trainer = make_trainer(trainer_class, tmp_path, monkeypatch, the_plans=plans(**edited))
    file = f"{DATASET}/nnUNetFactorizerPlans.json"
    with pytest.raises(UserError, match=rf"{cause}.*\nMend .*arch_kwargs of 3d_fullres in .*{file}, or plan again\.$"):
        trainer.initialize()


def test_a_trainer_with_its_own_arguments_does_not_blame_those_of_the_plans(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class nnUNetTrainerWrong(nnUNetTrainerSwinFactorizer):
        choices = nnUNetTrainerSwinFactorizer.choices | {"rank": 99}

    trainer = make_trainer(nnUNetTrainerWrong, tmp_path, monkeypatch)
    expected = (
        r"rank must be a whole number from 1 to 4.*, got 99.*\nMend nnUNetTrainerWrong, which takes n_stages, "
        r"features_per_stage, conv_op, kernel_sizes, strides, patch and spacing from arch_kwargs of 3d_fullres in "
    )
    with pytest.raises(UserError, match=expected):
        trainer.initialize()


def test_a_defect_of_a_trainer_keeps_its_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class nnUNetTrainerDefect(nnUNetTrainerFactorizer):
        @classmethod
        def build(cls, *arguments: Any) -> Any:
            return None + 1  # type: ignore[operator]

    with pytest.raises(TypeError, match="unsupported operand"):
        make_trainer(nnUNetTrainerDefect, tmp_path, monkeypatch).initialize()


def test_a_trainer_with_the_old_signature_of_nnunet_builds_its_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Old(nnUNetTrainer):
        @staticmethod
        def build_network_architecture(
            architecture_class_name: str, arch_init_kwargs: dict, arch_init_kwargs_req_import: Any,
            num_input_channels: int, num_output_channels: int, enable_deep_supervision: bool = True,
        ) -> Any:  # fmt: skip
            assert architecture_class_name.endswith("Factorizer")
            return Factorizer(num_input_channels, num_output_channels, **arch_init_kwargs)

    class Guarded(Guard, Old): ...

    trainer = make_trainer(Guarded, tmp_path, monkeypatch)
    trainer.initialize()
    assert isinstance(trainer.network, Factorizer)


def test_errors_that_plans_did_not_make_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class nnUNetTrainerDefect(nnUNetTrainerSwinFactorizer):
        def make_optimizer(self, lr: float) -> Any:
            raise ValueError("a defect of this trainer")

    trainer = make_trainer(nnUNetTrainerDefect, tmp_path, monkeypatch)
    with pytest.raises(ValueError, match=r"^a defect of this trainer$"):
        trainer.initialize()


def test_a_window_larger_than_the_patch_shrinks_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make_trainer(nnUNetTrainerFactorizer, tmp_path, monkeypatch, the_plans=plans(window_size=64))
    trainer.initialize()
    trainer.on_train_epoch_start()
    assert trainer.train_step(make_batch())["loss"] == pytest.approx(0, abs=2)


def test_a_patch_that_the_strides_do_not_divide_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make_trainer(nnUNetTrainerFactorizer, tmp_path, monkeypatch)
    trainer.initialize()
    batch = make_batch()
    batch["data"] = batch["data"][..., :-1]
    with pytest.raises(ValueError, match=r"divisible by \[2, 4, 4\] .*got \(2, 2, 8, 16, 15\)"):
        trainer.train_step(batch)


def test_plans_of_another_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make_trainer(nnUNetTrainerSwinFactorizer, tmp_path, monkeypatch)
    path = tmp_path / "preprocessed" / DATASET / "dataset.json"
    path.write_text(json.dumps(trainer.dataset_json | {"labels": {"background": 0, "liver": 1}}))
    expected = rf"the plans nnUNetFactorizerPlans are of {DATASET}, .*is not that of .*\nPlan this data set itself"
    with pytest.raises(UserError, match=expected):
        trainer.initialize()
    path.unlink()
    with pytest.raises(UserError, match=expected):
        trainer.initialize()


@pytest.mark.parametrize(
    ("recompute", "remedy"),
    [(True, r"\nLower batch_size"), ([True, False, True], r'\nSet "recompute" to true in arch_kwargs, or lower')],
)
def test_out_of_memory_says_what_to_lower(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recompute: Any, remedy: str
) -> None:
    trainer = make_trainer(nnUNetTrainerFactorizer, tmp_path, monkeypatch, the_plans=plans(recompute=recompute))
    trainer.initialize()
    trainer.on_train_epoch_start()

    def exhaust(*_: Any) -> None:
        raise torch.OutOfMemoryError(
            "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 7.79 GiB of which 1.00 GiB "
            "is free. Including non-PyTorch memory, this process has 6.79 GiB memory in use."
        )

    trainer.network.encoder.register_forward_hook(exhaust)
    cause = (
        rf"Tried to allocate 2\.00 GiB\. GPU 0 .* is free: epoch 0, iteration 0, batch size 2, "
        rf"patch \[{', '.join(map(str, PATCH))}\]"
    )
    with pytest.raises(UserError, match=cause + r"\." + remedy) as error:
        trainer.train_step(make_batch())
    assert "nnUNetv2_factorizer_plan_and_preprocess -d ID -gpu_memory_target GB" in str(error.value)
    assert "nnUNet_compile=f" in str(error.value)
    assert str(error.value).count("\n") == 1
