"""Consistency and regeneration against their formulas, and which voxels count."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.distributions import Bernoulli, Categorical, kl_divergence

from nnunetv2_factorizer.adaptation.divergence import divergence
from nnunetv2_factorizer.adaptation.objectives import Consistency, JitterAlone
from nnunetv2_factorizer.adaptation.objectives.consistency import Generator, known
from nnunetv2_factorizer.training.bare import bare
from tests.adaptation.models import log_of
from tests.adaptation.objectives.training import begun
from tests.training.small_trainer import make_batch


@pytest.mark.parametrize("network", ["PlainConvUNet", "Hybrid"])
def test_terms_are_those_of_the_formulas(network: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer, batch = begun(Consistency, tmp_path, monkeypatch, network), make_batch()
    trainer.asked.jitter = lambda x: x.square()
    x, other = batch["data"], batch["data"].square()
    with torch.no_grad():
        encoder, networks = bare(trainer.network).encoder, trainer.network
        p, q = (Categorical(logits=networks(data)[0].movedim(1, -1)) for data in (x, other))
        features = encoder(other)
        sizes = [stage.shape[2:] for stage in features[-2::-1]]
        made = trainer.asked.generator(features[-1], sizes, x.shape[2:])
        both = [torch.cat([a, b]) for a, b in zip(networks(x), networks(other), strict=True)]
        segmentation = trainer.loss.segmentation(both, [torch.cat([t, t]) for t in batch["target"]]).item()
    total = float(trainer.train_step(batch)["loss"])
    (consistency,), (regeneration,) = trainer._terms["consistency"], trainer._terms["regeneration"]
    assert consistency == pytest.approx(kl_divergence(p, q).mean().item(), rel=1e-3)
    assert regeneration == pytest.approx(0.1 * (made - x).square().sum(1).mean().item(), rel=1e-3)
    assert total == pytest.approx(segmentation + consistency + regeneration, rel=1e-4)
    assert all(p.grad is not None for p in trainer.asked.generator.parameters())
    trainer.on_train_epoch_end([{"loss": total}])
    assert f"Consistency: consistency {consistency:.4f}, regeneration {regeneration:.4f}" in log_of(trainer)


def test_the_branch_of_the_first_look_is_held_fixed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer, batch = begun(Consistency, tmp_path, monkeypatch), make_batch()
    posed = trainer.asked.pose(batch)
    logits = torch.randn(4, 2, 8, 16, 16, requires_grad=True)
    features = [f.detach() for f in bare(trainer.network).encoder(posed["data"])]
    trainer.asked.terms(features, [logits], posed)["consistency"].backward()
    assert logits.grad is not None
    assert not logits.grad[:2].any()
    assert logits.grad[2:].any()


def test_a_jitter_alone_adds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = begun(JitterAlone, tmp_path, monkeypatch)
    trainer.train_step(make_batch())
    assert trainer._terms == {"consistency": [0.0], "regeneration": [0.0]}
    assert len(trainer._batch["data"]) == len(trainer._batch["keys"]) == 4


def test_without_deep_supervision_and_with_an_ignore_label(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the network says of ignored voxels is not compared."""
    labels = {"background": 0, "lesion": 1, "ignore": 2}
    trainer, batch = begun(Consistency, tmp_path, monkeypatch, labels=labels), make_batch()
    target = batch["target"][0].clone()
    target[..., :8] = 2
    posed = trainer.asked.pose(batch | {"target": target})
    assert posed["target"].shape == (4, *target.shape[1:])
    features = [f.detach() for f in bare(trainer.network).encoder(posed["data"])]
    logits = torch.randn(4, 2, 8, 16, 16)
    others = logits.clone()
    others[..., :8] *= 3
    first, second = (trainer.asked.terms(features, [x], posed)["consistency"] for x in (logits, others))
    assert first == second
    p, q = (Categorical(logits=x[..., 8:].movedim(1, -1)) for x in logits.chunk(2))
    assert first.item() == pytest.approx(kl_divergence(p, q).mean().item(), rel=1e-4)


def test_regions_have_a_divergence_each() -> None:
    p, q = torch.randn(2, 1, 3, 4, 5)
    expected = kl_divergence(Bernoulli(logits=p), Bernoulli(logits=q)).sum(1)
    torch.testing.assert_close(divergence(p, q, regions=True), expected, rtol=1e-4, atol=1e-6)
    labels: Any = SimpleNamespace(has_ignore_label=True, has_regions=True, ignore_label=3)
    target = torch.tensor([[[1.0, 1, 0]], [[0.0, 1, 1]]])[None, :, 0]  # one region, then the ignore label
    assert known(target, labels).tolist() == [[1, 0, 0]]


@pytest.mark.parametrize("axes", [2, 3])
def test_the_generator_gives_images_of_any_size(axes: int) -> None:
    generator = Generator([8, 16, 16], 3, axes)
    image = generator(torch.randn(2, 16, *[3] * axes), [[5] * axes, [9] * axes], [9] * axes)
    assert image.shape == (2, 3, *[9] * axes)
