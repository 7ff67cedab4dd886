"""The monitor of layer updates: its numbers, its file over a resumption, its picture."""

from pathlib import Path

import pytest
import torch

from nnunetv2_factorizer.training import Guard, LayerUpdateMonitor, StockRecipe
from nnunetv2_factorizer.training.layer_updates import block_of, read_updates
from tests.training.networks import NETWORKS, plans_of
from tests.training.small_trainer import make_batch, make_trainer


class Monitored(LayerUpdateMonitor, Guard, StockRecipe):
    pass


@pytest.mark.parametrize("network", NETWORKS)
def test_rows_are_the_mean_change_of_each_block(network: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make_trainer(Monitored, tmp_path, monkeypatch, the_plans=plans_of(network))
    trainer.initialize()
    folder = Path(trainer.output_folder)
    folder.mkdir(parents=True, exist_ok=True)
    for epoch in (0, 1):
        trainer.current_epoch = epoch
        before = {name: p.detach().clone() for name, p in trainer.network.named_parameters()}
        trainer.on_train_epoch_start()
        result = trainer.train_step(make_batch())
        trainer.on_train_epoch_end([result])
        changes: dict[str, list[torch.Tensor]] = {}
        for name, p in trainer.network.named_parameters():
            changes.setdefault(block_of(name), []).append((p.detach() - before[name]).abs().flatten())
        rows = {block: update for row_epoch, block, update in read_updates(folder) if row_epoch == epoch}
        assert rows == {block: pytest.approx(float(torch.cat(c).mean()), rel=1e-4) for block, c in changes.items()}
    assert {epoch for epoch, _, _ in read_updates(folder)} == {0, 1}
    assert (folder / "layer_updates.png").read_bytes()[:4] == b"\x89PNG"

    resumed = make_trainer(Monitored, tmp_path, monkeypatch, the_plans=plans_of(network))
    resumed.initialize()
    resumed.current_epoch = 1  # again
    resumed.on_train_epoch_start()
    resumed.on_train_epoch_end([resumed.train_step(make_batch())])
    rows_of_blocks = [(epoch, block) for epoch, block, _ in read_updates(folder)]
    assert len(rows_of_blocks) == len(set(rows_of_blocks)) == 2 * len(changes)


def test_a_damaged_file_does_not_end_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make_trainer(Monitored, tmp_path, monkeypatch)
    trainer.initialize()
    folder = Path(trainer.output_folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "layer_updates.csv").write_text("epoch,block,update\nnot a number,encoder,1.0\n")
    trainer.on_train_epoch_start()
    trainer.on_train_epoch_end([trainer.train_step(make_batch())])
    assert "not a number" in (folder / "layer_updates.csv").read_text()
    assert "were not written" in next(folder.glob("training_log_*.txt")).read_text()


def test_blocks_are_those_of_the_networks_halves() -> None:
    assert block_of("encoder.stages.1.0.convs.0.conv.weight") == "encoder.stages.1"
    assert block_of("decoder.transpconvs.0.weight") == "decoder.transpconvs.0"
    assert block_of("encoder.position_embedding.embedding") == "encoder.position_embedding"
