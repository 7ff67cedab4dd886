"""OCTL: whose momentum is whose, a step against its formula, and checkpoints that have another history or none."""

from pathlib import Path
from typing import Any

import pytest
import torch

from nnunetv2_factorizer.adaptation.methods import OCTL, Momentum
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.training import MuonRecipe, PaperRecipe, SGDRecipe
from tests.adaptation.models import adapting, began, log_of, weights, write_model
from tests.training.networks import NETWORKS, plans_of
from tests.training.small_trainer import make_batch

Recipes = pytest.mark.parametrize("recipe", [MuonRecipe, SGDRecipe, PaperRecipe])


def history_of(trainer: Any) -> dict[str, dict[str, torch.Tensor]]:
    states = trainer.optimizer.state
    return {name: states[p] for name, p in trainer.network.named_parameters() if states[p]}


@Recipes
@pytest.mark.parametrize("network", NETWORKS)
def test_history_is_that_of_the_name_whatever_the_order(
    network: str, recipe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights that lie in the file in the opposite order were numbered in that order, group by group."""
    file = write_model(tmp_path, monkeypatch, plans_of(network), recipe)
    straight = began(adapting(OCTL, tmp_path, plans_of(network), recipe))
    reverse(file)
    reversed_ = began(adapting(OCTL, tmp_path, plans_of(network), recipe))
    torch.testing.assert_close(history_of(reversed_), history_of(straight), rtol=0, atol=0)
    named = dict(reversed_.network.named_parameters())
    for name, state in history_of(reversed_).items():
        assert all(value.shape == named[name].shape for slot, value in state.items() if slot != "step")
        assert state.get("step", 100) == 100
    with_loss = {name for name in named if ".seg_layers.0." not in name or recipe is PaperRecipe}
    assert set(history_of(reversed_)) == with_loss
    assert f"carried over for {len(with_loss)} tensors, not for {len(named) - len(with_loss)}" in log_of(straight)


def reverse(file: Path) -> None:
    """Puts weights and the optimiser's numbers in the opposite order, as another version of the network might."""
    state = torch.load(file, weights_only=False)
    state["network_weights"] = dict(reversed(state["network_weights"].items()))
    optimizer, number = state["optimizer_state"], 0
    renumbered = {}
    for group in optimizer["param_groups"]:
        old, group["params"] = group["params"], list(range(number, number + len(group["params"])))
        number += len(old)
        for new, of_old in zip(group["params"], reversed(old), strict=True):
            if of_old in optimizer["state"]:
                renumbered[new] = optimizer["state"][of_old]
    optimizer["state"] = renumbered
    torch.save(state, file)


def test_a_step_of_sgd_goes_on_from_the_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_model(tmp_path, monkeypatch, plans_of("PlainConvUNet"), SGDRecipe)
    saved = torch.load(file, weights_only=False)["optimizer_state"]
    trainer = began(adapting(OCTL, tmp_path, plans_of("PlainConvUNet"), SGDRecipe))
    start, (group,) = weights(trainer), trainer.optimizer.param_groups
    trainer.train_step(make_batch())
    assert group["momentum"] == 0.99
    lr = 0.1 * 0.01  # the first step is a full one: there is no warm-up
    number = 0
    for number, (name, p) in enumerate(trainer.network.named_parameters()):
        if p.grad is None:
            continue
        gradient = p.grad + group["weight_decay"] * start[name]
        history = 0.99 * saved["state"][number]["momentum_buffer"] + gradient
        torch.testing.assert_close(p.detach(), start[name] - lr * (gradient + 0.99 * history))  # Nesterov's
        torch.testing.assert_close(trainer.optimizer.state[p]["momentum_buffer"], history)


@pytest.mark.parametrize("recipe", [MuonRecipe, PaperRecipe])
def test_adams_counter_goes_on_at_a_hundred(recipe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_model(tmp_path, monkeypatch, plans_of("Conv"), recipe)
    trainer = began(adapting(OCTL, tmp_path, plans_of("Conv"), recipe))
    group = trainer.optimizer.param_groups[-1]
    named = dict(trainer.network.named_parameters())
    (name,) = [
        name for name, p in named.items() if any(p is q for q in group["params"]) and "stages.0.0.norm1.weight" in name
    ][:1]
    p, state = named[name], {slot: value.clone() for slot, value in trainer.optimizer.state[named[name]].items()}
    start, lr = p.detach().clone(), group["lr"]
    trainer.train_step(make_batch())
    mean = 0.99 * state["exp_avg"] + 0.01 * p.grad
    square = 0.999 * state["exp_avg_sq"] + 0.001 * p.grad**2
    mean, square = mean / (1 - 0.99**101), square / (1 - 0.999**101)
    expected = start * (1 - lr * group["weight_decay"]) - lr * mean / (square.sqrt() + group["eps"])
    torch.testing.assert_close(p.detach(), expected)
    assert trainer.optimizer.state[p]["step"] == 101


@Recipes
def test_the_control_differs_in_the_history_alone(recipe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_model(tmp_path, monkeypatch, plans_of("Conv"), recipe)
    octl, control = (began(adapting(method, tmp_path, plans_of("Conv"), recipe)) for method in (OCTL, Momentum))
    assert history_of(octl)
    assert not history_of(control)
    groups = [
        [{k: v for k, v in g.items() if k != "params"} for g in t.optimizer.param_groups] for t in (octl, control)
    ]
    assert groups[0] == groups[1]
    assert all(group.get("momentum", 0.99) == 0.99 for group in groups[0])
    assert all(group.get("betas", (0.99, 0.999)) == (0.99, 0.999) for group in groups[0])
    torch.testing.assert_close(weights(octl), weights(control), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("there", "here", "match"),
    [
        (SGDRecipe, MuonRecipe, r"history of \d+ tensors, Muon here moves \d+ \+ \d+"),
        (MuonRecipe, SGDRecipe, r"history of \d+ \+ \d+ tensors, SGD here moves"),
        (PaperRecipe, SGDRecipe, r"remembers step, exp_avg, exp_avg_sq of .*, this optimiser would momentum_buffer"),
        (SGDRecipe, PaperRecipe, r"remembers momentum_buffer of .*, this optimiser would step"),
    ],
)
def test_history_of_another_recipe_is_refused(
    there: Any, here: Any, match: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_model(tmp_path, monkeypatch, plans_of("Conv"), there)
    with pytest.raises(UserError, match=match) as caught:
        adapting(OCTL, tmp_path, plans_of("Conv"), here).initialize()
    assert "nnUNetTrainerSGD_AdaptOCTL for nnU-Net's own trainer" in caught.value.remedy
    adapting(Momentum, tmp_path, plans_of("Conv"), here).initialize()


def test_a_checkpoint_without_history_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_model(tmp_path, monkeypatch, plans_of("Conv"))
    state = torch.load(file, weights_only=False)
    full = state.pop("optimizer_state")
    weight = next(iter(state["network_weights"]))
    for without in (state, state | {"optimizer_state": {"state": {}, "param_groups": full["param_groups"]}}):
        torch.save(without, file)
        with pytest.raises(UserError, match="has no optimizer state: it was exported"):
            adapting(OCTL, tmp_path, plans_of("Conv")).initialize()
    missing = {name: value for name, value in state["network_weights"].items() if name != weight}
    torch.save(state | {"optimizer_state": full, "network_weights": missing}, file)
    with pytest.raises(UserError, match=f"has no weights {weight}"):
        adapting(OCTL, tmp_path, plans_of("Conv")).initialize()
    full["state"][0]["momentum_buffer"] = torch.zeros(3)
    torch.save(state | {"optimizer_state": full}, file)
    with pytest.raises(UserError, match="remembers other shapes than its weights"):
        adapting(OCTL, tmp_path, plans_of("Conv")).initialize()
