"""Reading a trained model, and its network in another setting on the same weights."""

from pathlib import Path
from typing import Any

import pytest
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.models.adapt import adapt_rank
from nnunetv2_factorizer.models.trained import TrainedModel, read_model, trained_network, tuned_network
from nnunetv2_factorizer.network import block
from tests.models.conftest import make_checkpoint
from tests.tune.conftest import folder, meta_network, model

__all__ = ["folder", "model"]  # fixtures

CPU = torch.device("cpu")
V0 = "encoder.stages.1.0.mixer.nmf.v0"


def test_fold_that_is_not_there(folder: Path) -> None:
    with pytest.raises(UserError, match=r"fold_3.checkpoint_final\.pth does not exist; .* are: 0 1\.\n"):
        read_model(folder, ["0", "3"], "checkpoint_final.pth")


def test_network_that_is_not_a_factorizer(folder: Path, plans: dict[str, Any]) -> None:
    path = folder / "fold_0" / "checkpoint_final.pth"
    weights = {"trainer_name": "nnUNetTrainer"}
    torch.save(torch.load(path, weights_only=False) | weights, path)
    with pytest.raises(UserError, match=r"the weights do not fit the network that nnUNetTrainer builds"):
        read_model(folder, ["0"], "checkpoint_final.pth")


def test_trained_network_is_that_of_the_trainer(
    model: TrainedModel, trainer: type[nnUNetTrainer], plans: dict[str, Any]
) -> None:
    before = torch.get_rng_state()
    network = trained_network(model, "1", CPU)
    assert torch.equal(torch.get_rng_state(), before)
    original = make_checkpoint(trainer, plans, "3d_fullres")["network_weights"]
    assert {k: v.shape for k, v in network.state_dict().items()} == {k: v.shape for k, v in original.items()}
    for name, weight in model.checkpoints["1"]["network_weights"].items():
        assert torch.equal(network.state_dict()[name], weight)


def test_weights_are_shared_and_the_trained_network_stays(model: TrainedModel) -> None:
    trained = trained_network(model, "0", CPU)
    weights, x = trained.state_dict(), torch.randn(1, 2, 8, 16, 16)
    with torch.inference_mode():
        before = trained(x)
        for changes in ({"rank": 3}, {"skip_nmf": ["encoder.stages.0.0"]}, {"num_iters": 1}):
            network = tuned_network(model, changes, weights)
            assert not torch.equal(network(x), before)
            for name, tensor in network.state_dict().items():
                assert (tensor.data_ptr() == weights[name].data_ptr()) == ("rank" not in changes or ".nmf." not in name)
        assert torch.equal(trained(x), before)


def test_new_ranks_keep_the_trained_columns(model: TrainedModel) -> None:
    trained = trained_network(model, "0", CPU).state_dict()
    before = torch.get_rng_state()
    ranks = {rank: adapt_rank(trained, meta_network(model, rank=rank).state_dict()) for rank in (2, 4)}
    assert torch.equal(torch.get_rng_state(), before)
    again = adapt_rank(trained, meta_network(model, rank=4).state_dict())
    assert torch.equal(again[V0], ranks[4][V0])
    for rank, adapted in ranks.items():
        assert adapted[V0].shape == (trained[V0].shape[0], rank)
        assert torch.equal(adapted[V0][:, :1], trained[V0])
        assert torch.equal(adapted[V0][:, :2], ranks[4][V0][:, :2])
        new = adapted[V0][:, 1:]
        assert 0 <= new.min() < 0.1 < 0.9 < new.max() < 1
    other = V0.replace("stages.1", "stages.0")
    assert not torch.equal(ranks[4][V0][:, 1:], ranks[4][other][:, 1:])
    fewer = adapt_rank(ranks[4], meta_network(model, rank=2).state_dict())
    assert all(torch.equal(fewer[name], ranks[2][name]) for name in fewer)


def test_anything_else_that_does_not_fit_is_an_error(model: TrainedModel) -> None:
    trained = trained_network(model, "0", CPU).state_dict()
    with pytest.raises(UserError, match=r"do not fit this setting: .*mlp.* is of shape .*\nOnly num_iters, rank"):
        tuned_network(model, {"mlp_ratio": 1}, trained)
    with pytest.raises(UserError, match=r"nmf\.v0 is of shape"):
        tuned_network(model, {"window_size": 4}, trained)


def test_skipped_blocks_are_not_computed(model: TrainedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    mix = block.mix
    monkeypatch.setattr(block, "mix", lambda x, *args, **kwargs: calls.append(x.shape[1]) or mix(x, *args, **kwargs))
    weights, x = trained_network(model, "0", CPU).state_dict(), torch.randn(1, 2, 8, 16, 16)
    names = list(meta_network(model).blocks)
    for skipped, expected in (([], 5), (names[1:2], 4), (names, 0)):
        calls.clear()
        with torch.inference_mode():
            tuned_network(model, {"skip_nmf": skipped}, weights)(x)
        assert len(calls) == expected
