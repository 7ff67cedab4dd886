"""The memory model against what autograd really keeps and what a real training step really takes."""

import copy
import math
from itertools import chain

import pytest
import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from benchmarks.measure import in_own_process
from benchmarks.memory import CONFIGURATIONS, Configuration, predict
from nnunetv2_factorizer.network import Factorizer
from nnunetv2_factorizer.network.memory import bytes_kept, step_memory

pytestmark = pytest.mark.no_cover  # fake tensors take a third longer where lines are counted

WIDTHS, STRIDES = (16, 32, 64), (1, 2, 2)


@pytest.mark.parametrize(
    "choices",
    [
        {}, {"matricize": "local"}, {"matricize": "global"}, {"local_path": "depthwise"}, {"mlp_ratio": 4},
        {"mlp_ratio": 0}, {"nmf": False}, {"rank": 2}, {"rank": 2, "solver": "mu"}, {"recompute": False},
        {"recompute": False, "local_path": "depthwise"}, {"dropout": 0.1},
        {"convolution_stages": 2, "downsampling": "separable"},
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    ("patch_size", "batch_size", "strides", "dtype"),
    [
        ((32, 16, 24), 1, STRIDES, torch.float32),
        ((16, 16, 8), 2, STRIDES, torch.float16),
        ((10, 16, 32), 2, (1, [1, 2, 2], 2), torch.bfloat16),
        ((64, 64), 2, STRIDES, torch.float32),
    ],
)
def test_kept_is_what_autograd_keeps(
    patch_size: tuple[int, ...], batch_size: int, strides: tuple, choices: dict, dtype: torch.dtype
) -> None:
    configuration = Configuration(patch_size, batch_size, WIDTHS, strides, choices, channels=2)
    network, x = configuration.build(), torch.rand(configuration.input_shape)
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        measured = bytes_kept(network, lambda: network(x))
    assert step_memory(network, x.shape, dtype, "cpu").kept == pytest.approx(measured, rel=0.02)


@pytest.mark.parametrize("name", ["2D, not recomputed"])
def test_peak_is_what_a_training_step_takes(name: str) -> None:
    predicted, measured = predict(CONFIGURATIONS[name])[1], in_own_process("benchmarks.memory", "--measure", name)[1]
    assert predicted == pytest.approx(measured, rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_all_of_the_table(name: str) -> None:
    predicted, measured = predict(CONFIGURATIONS[name]), in_own_process("benchmarks.memory", "--measure", name)
    assert predicted == pytest.approx(measured, rel=0.1)


def test_nothing_is_allocated_and_the_network_is_not_changed() -> None:
    with torch.device("meta"):
        network = Factorizer(4, 3, 3, WIDTHS, nn.Conv3d, STRIDES, patch_size=[512] * 3, deep_supervision=True)
    before = dict(network.named_parameters())
    memory = step_memory(network, (8, 4, 512, 512, 512))  # 64 GiB for the first layer alone
    assert memory.kept > 8 * 16 * 512**3 * 4
    assert all(parameter is before[name] for name, parameter in network.named_parameters())


def test_a_gpu_works_on_larger_chunks_and_half_precision_keeps_half() -> None:
    network = Configuration((64, 64, 64), 1, WIDTHS, STRIDES).build()
    shape = (1, 1, 64, 64, 64)
    on_cpu, on_gpu = step_memory(network, shape, device_type="cpu"), step_memory(network, shape)
    assert on_gpu.kept == on_cpu.kept
    assert on_gpu.peak > 1.2 * on_cpu.peak
    assert step_memory(network, shape, torch.float16).kept == pytest.approx(on_gpu.kept / 2, rel=0.05)


@pytest.mark.parametrize(
    "choices",
    [
        *({}, {"recompute": False}, {"recompute": False, "local_path": "depthwise"}),
        {"convolution_stages": 2, "downsampling": "separable"},
    ],
)
@pytest.mark.parametrize("patch_size", [(32, 16, 24), (64, 64)])
def test_kept_under_the_autocast_of_a_gpu(
    patch_size: tuple[int, ...], choices: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fake tensors of a GPU can go forward without one, once PyTorch believes that autocast is possible."""
    monkeypatch.setattr("torch.cuda.amp.common.amp_definitely_not_available", lambda: False)
    network = Configuration(patch_size, 2, WIDTHS, STRIDES, choices).build()
    with FakeTensorMode(), torch.autocast("cuda", torch.float16):
        tensors = {
            id(t): type(t)(torch.empty_strided(t.shape, t.stride(), device="cuda"))
            for t in chain(network.parameters(), network.buffers())
        }
        on_gpu, x = copy.deepcopy(network, tensors), torch.empty(2, 1, *patch_size, device="cuda")
        expected = bytes_kept(on_gpu, lambda: on_gpu(x))
    assert step_memory(network, (2, 1, *patch_size), torch.float16).kept == pytest.approx(expected, rel=0.02)


def test_weights_count_four_times() -> None:
    """As themselves, as gradients, and as the two numbers that AdamW keeps for each."""
    network = nn.Linear(1000, 1000, bias=False)
    weights = 4 * 1000 * 1000
    assert step_memory(network, (1, 1000)).peak == pytest.approx(4 * weights, rel=0.01)


def test_feature_map_size_is_in_the_unit_of_nnunet() -> None:
    """A byte count over the bytes that the U-Net keeps for each number that nnU-Net's planner counts."""
    patch_size = [32, 48, 32]
    unet = PlainConvUNet(
        1, 3, list(WIDTHS), nn.Conv3d, 3, list(STRIDES), 2, 2, 2, conv_bias=True, norm_op=nn.InstanceNorm3d,
        norm_op_kwargs={"affine": True}, nonlin=nn.LeakyReLU, nonlin_kwargs={"inplace": True}, deep_supervision=True,
    )  # fmt: skip
    factorizer = Configuration((32, 48, 32), 1, WIDTHS, STRIDES, classes=3).build()
    x = torch.randn(1, 1, *patch_size)
    measured = math.log(bytes_kept(factorizer, lambda: factorizer(x)) / bytes_kept(unet, lambda: unet(x)))
    units = factorizer.compute_conv_feature_map_size(patch_size) / unet.compute_conv_feature_map_size(patch_size)
    assert math.log(units) == pytest.approx(measured, abs=0.1)


def test_counting_changes_no_number_of_the_network() -> None:
    """It works on the chunks of another machine, and on two of them only: in a copy."""
    network, x = Configuration((16, 16, 16), 1, WIDTHS, STRIDES).build(), torch.randn(1, 1, 16, 16, 16)
    before = network(x)[0]
    step_memory(network, x.shape)
    assert torch.equal(network(x)[0], before)
