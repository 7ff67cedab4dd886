"""Training on two devices: here two processes on the CPU, with nnU-Net's command where there are two GPUs."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, nn
from torch.multiprocessing import spawn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from nnunetv2_factorizer.network import Factorizer
from nnunetv2_factorizer.training import PaperRecipe
from nnunetv2_factorizer.training.optimizers import AvaGrad, Muon, muon_groups
from tests.conftest import relative_error
from tests.end_to_end.workspace import Workspace, checkpoint

NUM_PROCESSES = 2
BUCKET_MB = 0.06
"""Of gradients that are exchanged together, so little that the small networks have several: nnU-Net's have, too."""
STRIDES = [1, 2, 2, 2, 2]
SCALES = (1, 2, 4, 8)
NETWORKS: dict[str, dict[str, Any]] = {
    "recomputed": {"recompute": True},
    "kept": {"recompute": False},
    "compiled": {"recompute": True},  # recomputes by torch.utils.checkpoint
    "hybrid": {"convolution_stages": 2, "downsampling": "separable"},
    "dropout": {"recompute": True, "dropout": 0.1},  # does so, too
}


def make_network(name: str) -> nn.Module:
    torch.manual_seed(0)
    network = Factorizer(
        2, 3, n_stages=5, features_per_stage=[8, 16, 16, 16, 16], conv_op="torch.nn.Conv3d", strides=STRIDES,
        patch_size=[16, 16, 16], window_size=4, head_dim=4, local_path="depthwise", deep_supervision=True,
        **NETWORKS[name],
    )  # fmt: skip
    # As nnU-Net: compiled first, then made data-parallel. This backend compiles nothing but traces all the same.
    return torch.compile(network, backend="aot_eager") if name == "compiled" else network


def make_loss(is_ddp: bool) -> Any:
    trainer = PaperRecipe.__new__(PaperRecipe)
    trainer.enable_deep_supervision, trainer.is_ddp, trainer.device = True, is_ddp, torch.device("cpu")
    trainer.label_manager = SimpleNamespace(has_regions=False, ignore_label=None)
    trainer.configuration_manager = SimpleNamespace(batch_dice=True, pool_op_kernel_sizes=[[s] * 3 for s in STRIDES])
    return trainer._build_loss()


def make_batch() -> tuple[Tensor, list[Tensor]]:
    generator = torch.Generator().manual_seed(1)
    image = torch.randn(2 * NUM_PROCESSES, 2, 16, 16, 16, generator=generator)
    target = torch.randint(3, (2 * NUM_PROCESSES, 1, 16, 16, 16), generator=generator)
    return image, [target[..., ::s, ::s, ::s] for s in SCALES]


def gradients(network: nn.Module, loss: nn.Module, part: slice) -> dict[str, Tensor | None]:
    """Of the third of three steps: the second notices an unused parameter, the third counts the second's buckets."""
    image, targets = make_batch()
    for _ in range(3):
        network.zero_grad()
        loss(network(image[part]), [target[part] for target in targets]).backward()
    return {name.removeprefix("module.").removeprefix("_orig_mod."): p.grad for name, p in network.named_parameters()}


OPTIMIZERS: dict[str, Callable[[nn.Module], Optimizer]] = {
    "Muon": lambda network: Muon(muon_groups(network, 1e-2, 1e-2)),
    "AvaGrad": lambda network: AvaGrad(network.parameters(), 0.1),
}


def trained_weights(name: str, is_ddp: bool, part: slice) -> dict[str, Tensor]:
    """After three steps; as in nnU-Net the optimiser is made before the network becomes data-parallel."""
    network = make_network("hybrid")
    optimizer, loss = OPTIMIZERS[name](network), make_loss(is_ddp)
    loss.weight_factors = make_loss(is_ddp=True).weight_factors
    wrapped = DistributedDataParallel(network) if is_ddp else network
    image, targets = make_batch()
    for _ in range(3):
        optimizer.zero_grad()
        loss(wrapped(image[part]), [target[part] for target in targets]).backward()
        optimizer.step()
    return {key: value.detach().clone() for key, value in network.state_dict().items()}


def train_in_one_process_of_two(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=NUM_PROCESSES
    )
    distributed._DEFAULT_FIRST_BUCKET_BYTES = int(BUCKET_MB * 2**20)  # where the compiler cuts the network in pieces
    part = slice(rank, None, NUM_PROCESSES)
    results: dict[str, Any] = {}
    for name in NETWORKS:
        network = DistributedDataParallel(make_network(name), bucket_cap_mb=BUCKET_MB)
        results[name] = gradients(network, make_loss(is_ddp=True), part)
        results[f"buckets of {name}"] = network._get_ddp_logging_data()["rebuilt_bucket_sizes"].split(",")
    for name in OPTIMIZERS:
        results[name] = trained_weights(name, True, part)
    try:
        loss = make_loss(is_ddp=True)
        loss.weight_factors = (*loss.weight_factors[:-1], 0.0)
        gradients(DistributedDataParallel(make_network("kept")), loss, part)
    except RuntimeError as error:
        results["a head without a loss"] = str(error)
    torch.save(results, folder / f"results_{rank}.pt")
    distributed.barrier()
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def of_both_processes(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The gradients of each network, from two processes with half of the batch each."""
    folder = tmp_path_factory.mktemp("data_parallel")
    spawn(train_in_one_process_of_two, args=(folder,), nprocs=NUM_PROCESSES)
    return [torch.load(folder / f"results_{rank}.pt") for rank in range(NUM_PROCESSES)]


@pytest.fixture(scope="module")
def of_two_processes(of_both_processes: list[dict[str, Any]]) -> dict[str, Any]:
    """The same from the first of them."""
    return of_both_processes[0]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimisers_move_as_with_the_whole_batch(of_two_processes: dict[str, Any], name: str) -> None:
    start, expected = make_network("hybrid").state_dict(), trained_weights(name, False, slice(None))
    moved = {key: of_two_processes[name][key] - start[key] for key in expected}
    for key, value in expected.items():
        if not torch.equal(value, start[key]):
            # Not nearer: the first steps of AdamW are signs, also of gradients that are next to nothing.
            assert relative_error(moved[key], value - start[key]) < 0.1, key
    assert any(movement.abs().max() > 1e-3 for movement in moved.values())


@pytest.mark.parametrize("name", ["recomputed", "kept", "compiled", "hybrid"])
def test_gradients_are_those_of_the_whole_batch(of_both_processes: list[dict[str, Any]], name: str) -> None:
    loss = make_loss(is_ddp=False)
    # One process gives the lowest resolution no weight at all. Several give it 1e-6, which shows in the deepest layers.
    assert loss.weight_factors == (1, 0.5, 0.25, 0)
    loss.weight_factors = make_loss(is_ddp=True).weight_factors
    expected = gradients(make_network(name), loss, slice(None))
    for results in of_both_processes:
        assert len(results[f"buckets of {name}"]) >= 3
        assert results[name].keys() == expected.keys()
        for key, gradient in expected.items():
            assert relative_error(results[name][key], gradient) < 1e-4, key


def test_dropout_leaves_no_parameter_unused(of_two_processes: dict[str, Any]) -> None:
    assert all(gradient is not None for gradient in of_two_processes["dropout"].values())


def test_head_without_a_loss_would_be_refused(of_two_processes: dict[str, Any]) -> None:
    assert "parameters that were not used in producing loss" in of_two_processes["a head without a loss"]


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="-num_gpus 2 needs two GPUs")
def test_two_gpus(phantom: Workspace) -> None:
    trainer = "nnUNetTrainerShortConvFactorizer"
    workspace = phantom.with_results("results_two_gpus")
    workspace.run("nnUNetv2_train", workspace.dataset_id, "3d_fullres", "0", "-tr", trainer, "-num_gpus", "2")
    assert checkpoint(workspace.fold(trainer))["current_epoch"] == 2
