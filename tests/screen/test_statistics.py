"""Statistics of a fold: the distance beside a plain formulation, what is kept, and what cannot be used."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis
from sklearn.covariance import ledoit_wolf

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.models.identity import sha256
from nnunetv2_factorizer.screen import Statistics, read_statistics
from nnunetv2_factorizer.screen.descriptors import Typical
from nnunetv2_factorizer.screen.statistics import FILE, Entry
from tests.screen.cases import CHECKPOINT, write_model


def features(cases: int = 30, number: int = 6, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(number, number)) * 10.0 ** np.arange(-2, number - 2)  # of very different sizes
    return rng.normal(size=(cases, number)) @ mixing + 5


def statistics(model: Path, fold: str = "0") -> Statistics:
    entries = (Entry.of(features(seed=0), "A"), Entry.of(features(seed=1) + 100, 2))
    sha = sha256(model / f"fold_{fold}" / CHECKPOINT)
    typical = {"noise": Typical(0.1, 0.2)}
    return Statistics(
        "Dataset997_Small", "3d_fullres", "nnUNetTrainer", fold, CHECKPOINT, sha, 2, "site", entries, 2.5,
        {"a": 0.3, "b": 1.0}, typical,
    )  # fmt: skip


def test_distance_is_that_of_mahalanobis() -> None:
    x, case = features(), features(1, seed=7)[0]
    scale = x.std(0)
    shrunk, _ = ledoit_wolf(x / scale)
    expected = mahalanobis(case / scale, x.mean(0) / scale, np.linalg.inv(shrunk))
    assert Entry.of(x).distance(case) == pytest.approx(expected, rel=1e-6)
    assert Entry.of(x).distance(x.mean(0)) == 0


def test_units_of_the_features_do_not_matter() -> None:
    x, case, units = features(), features(1, seed=7)[0], 10.0 ** np.arange(6)
    assert Entry.of(x * units).distance(case * units) == pytest.approx(Entry.of(x).distance(case))


def test_more_features_than_cases_and_one_that_never_varies() -> None:
    x = np.concatenate([features(5, 40), np.ones((5, 1))], axis=1)
    entry = Entry.of(x)
    near, far = entry.distance(x.mean(0) + 0.1 * x.std(0)), entry.distance(x.mean(0) + 10 * x.std(0))
    assert 0 < near < far < np.inf


def test_what_was_written_is_read(tmp_path: Path) -> None:
    model = write_model(tmp_path)
    written = statistics(model)
    written.save(model / "fold_0" / FILE)
    read = read_statistics(model, "0")
    case = features(1, seed=3)[0]
    assert read.nearest(case)[0] == written.nearest(case)[0]
    assert read.nearest(case)[1].value == "A"
    assert read.nearest(case + 100)[1].value == 2
    for field in dataclasses.fields(Statistics):
        if field.name != "entries":
            assert getattr(read, field.name) == getattr(written, field.name)
    assert read.nearest(case)[0] == pytest.approx(written.entries[0].distance(case) / 2.5)


def test_a_file_that_is_not_whole_replaces_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = write_model(tmp_path)
    path = model / "fold_0" / FILE
    statistics(model).save(path)
    before = path.read_bytes()

    def interrupted(path: Path, *arguments: Any, **options: Any) -> None:
        path.write_bytes(b"{")
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_text", interrupted)
    with pytest.raises(KeyboardInterrupt):
        statistics(model).save(path)
    assert path.read_bytes() == before
    assert {p.name for p in path.parent.iterdir()} == {FILE, CHECKPOINT}


def test_not_fitted(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"fold_0/screen\.json does not exist\.\nMake it with .*_screen fit -m .* -f 0"):
        read_statistics(write_model(tmp_path), "0")


def test_another_checkpoint(tmp_path: Path) -> None:
    model = write_model(tmp_path)
    statistics(model).save(model / "fold_0" / FILE)
    (model / "fold_0" / CHECKPOINT).write_bytes(b"trained again")
    with pytest.raises(UserError, match=r"was made with another checkpoint: its SHA-256 is [0-9a-f]{64}"):
        read_statistics(model, "0")
    (model / "fold_0" / CHECKPOINT).unlink()
    with pytest.raises(UserError, match=r"checkpoint_final\.pth does not exist"):
        read_statistics(model, "0")


def test_another_fold(tmp_path: Path) -> None:
    model = write_model(tmp_path, "1")
    dataclasses.replace(statistics(model, "1"), fold="0").save(model / "fold_1" / FILE)
    with pytest.raises(UserError, match=r"is of fold 0, not of fold 1\.\nMake it"):
        read_statistics(model, "1")


@pytest.mark.parametrize(
    "damage",
    [
        lambda record: record.pop("unit"),
        lambda record: record["entries"][0].update(covariance=[[1.0]]),
        lambda record: record["entries"][0].update(mean="x"),
        lambda record: record.update(entries=3),
        lambda record: record.pop("nnunetv2_factorizer", None) or record.update(surplus=1),
    ],
)
def test_damaged(tmp_path: Path, damage: Any) -> None:
    model = write_model(tmp_path)
    path = model / "fold_0" / FILE
    statistics(model).save(path)
    record = json.loads(path.read_text())
    damage(record)
    path.write_text(json.dumps(record))
    with pytest.raises(UserError, match=r"screen\.json is damaged: .*\nMake it with"):
        read_statistics(model, "0")
    path.write_text("{")
    with pytest.raises(UserError, match=r"screen\.json is damaged"):
        read_statistics(model, "0")
