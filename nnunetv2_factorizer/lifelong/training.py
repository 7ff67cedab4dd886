"""One stage, from a data set to the pool that knows it; the training is that of `nnUNetv2_train`."""

import dataclasses
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from nnunetv2.run.run_training import run_training
from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class
from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunetv2_factorizer.adaptation.trainer import FOLDS
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.inference.preprocessed_cases import FoldCases, write_splits
from nnunetv2_factorizer.lifelong import pool as pools
from nnunetv2_factorizer.lifelong import scores
from nnunetv2_factorizer.lifelong.methods import METHODS
from nnunetv2_factorizer.lifelong.methods.odex import Choice, choose
from nnunetv2_factorizer.lifelong.pool import CHECKPOINT, MODELS, Member, Model, Pool, Stage, read_pool
from nnunetv2_factorizer.lifelong.seen import Features, measure, require_enough, see, to_stages
from nnunetv2_factorizer.lifelong.shared import check_common, common
from nnunetv2_factorizer.lifelong.stage import VARIABLE, StageData, StageRecord, cases_of, preprocessed_base, read_stage
from nnunetv2_factorizer.models.json_files import read_json
from nnunetv2_factorizer.pretraining.finetuning import VARIABLE as START

RECORD = "stage.json"
DEFAULTS = {"method": "odex", "history": "min", "configuration": None, "trainer": "nnUNetTrainer_Lifelong"}
"""Of the first stage."""
FLAGS = {"method": "--method", "history": "--history", "configuration": "-c", "trainer": "-tr"}
UNFINISHED = ("checkpoint_final.pth", "checkpoint_latest.pth", "checkpoint_best.pth")


@dataclass(frozen=True)
class Wanted:
    """A stage as the user asks for it; what is None is as in the pool, or by default."""

    folder: Path
    data: StageData
    device: torch.device
    method: str | None = None
    history: str | None = None
    configuration: str | None = None
    trainer: str | None = None
    goes_on: bool = False
    show_progress: bool = True


def train_stage(wanted: Wanted) -> Pool:
    """Trains a stage, takes it into the pool and measures the row of the matrix.

    Raises:
        UserError: the stage does not fit the pool, its data are not there, or it was begun before.
    """
    folder, data = wanted.folder.absolute(), wanted.data
    pool = read_pool(folder) if (folder / pools.FILE).exists() else None
    settings = _settings(wanted, pool)
    shared = common(data, settings["configuration"])
    if pool is not None:
        _check_new(pool, folder, data)
        check_common(shared, pool.shared, data, pool.stages[0].data, pool.configuration)
    _ensure_splits(data, settings["configuration"])
    cases = cases_of(data, settings["configuration"])
    require_enough(cases, data.dataset)
    trainer = settings["trainer"] + METHODS[settings["method"]].__name__
    _require_trainer(trainer)
    features, choice = None, None
    if pool is not None:
        features = _measured(pool, folder, cases, wanted)
        scores.fill(folder, len(pool.stages) - 1, [data], _segmenting(pool, folder, wanted))
        choice = _choose(pool, features, cases)
    record = StageRecord(
        method=settings["method"],
        configuration=settings["configuration"],
        data=data,
        earlier=() if pool is None else tuple(stage.data for stage in pool.stages),
        starts_from=None if pool is None or choice is None else pool.members[choice.nearest].model.sha256,
        opens=choice is None or (settings["method"] == "odex" and choice.opens),
    )
    start = None if pool is None or choice is None else pool.members[choice.nearest].model.checkpoint(folder)
    model = _train(folder, record, trainer, start, wanted)
    if pool is None:
        pool = Pool(**settings, shared=shared, eye=model, stages=(), members=())
    if features is None:
        features = _measured(pool, folder, cases, wanted)
    pool = _grown(pool, Stage(data, see(features, cases, pool.seen)), model, record, choice)
    pool.save(folder)
    print(f"Stage {len(pool.stages)}, {data.dataset}, is in {folder / pools.FILE}: {len(pool.members)} member(s).")
    fill_row(pool, folder, wanted.device, show_progress=wanted.show_progress)
    return pool


def fill_row(pool: Pool, folder: Path, device: torch.device, *, show_progress: bool) -> None:
    """Measures what is missing of the row of the present pool."""
    stages = [stage.data for stage in pool.stages]

    def segment(data: StageData) -> scores.Cell:
        return scores.segment(pool, folder, data, device, show_progress=show_progress)

    scores.fill(folder, len(stages) - 1, stages, segment)


def _settings(wanted: Wanted, pool: Pool | None) -> dict[str, str]:
    """Of the pool; what the user gives must be the same."""
    settings: dict[str, str] = {}
    for name, default in DEFAULTS.items():
        given = getattr(wanted, name)
        there = default if pool is None else getattr(pool, name)
        value = there if given is None else given
        if value is None:
            raise UserError(f"the first stage of a pool needs {FLAGS[name]}.", f"Give {FLAGS[name]} 3d_fullres or 2d.")
        if pool is not None and value != there:
            raise UserError(
                f"{wanted.folder} is a pool with {FLAGS[name]} {there}, not {value}.",
                f"Leave {FLAGS[name]} out, or begin another pool with -pool.",
            )
        settings[name] = value
    return settings


def _check_new(pool: Pool, folder: Path, data: StageData) -> None:
    for number, stage in enumerate(pool.stages):
        if stage.data.dataset == data.dataset:
            raise UserError(
                f"{data.dataset} is stage {number + 1} of {folder} already.",
                "Give the next stage with -d. New cases of the same scanner are a data set of their own; what a pool "
                "knows is shown by `nnUNetv2_factorizer_lifelong evaluate`.",
            )


def _ensure_splits(data: StageData, configuration: str) -> None:
    """nnU-Net's own five folds, as its training would write them."""
    base = preprocessed_base(data.dataset)
    splits = base / "splits_final.json"
    if data.fold == "all" or splits.is_file():
        return
    settings = PlansManager(read_json(base / f"{data.plans}.json")).get_configuration(configuration)
    images = base / settings.data_identifier
    if not images.is_dir():
        return  # which is told where the cases are looked for
    names = sorted(infer_dataset_class(str(images)).get_identifiers(str(images)))
    if len(names) < FOLDS:
        raise UserError(
            f"the stage {data.dataset} has {len(names)} labelled cases, fewer than nnU-Net's {FOLDS} folds.",
            "Join it with the next stage; or adapt a model without a pool, by a trainer such as "
            "nnUNetTrainer_AdaptAll with fold all.",
        )
    write_splits(splits, names, FOLDS)


def _require_trainer(name: str) -> None:
    try:
        recursive_find_trainer_class_by_name(name)
    except RuntimeError as error:
        raise UserError(
            f"nnU-Net finds no trainer {name}.",
            'Our trainers are found after eval "$(nnUNetv2_factorizer_env)". -tr is the family, such as '
            "nnUNetTrainer_Lifelong; the method is put behind it.",
        ) from error


def _measured(pool: Pool, folder: Path, cases: FoldCases, wanted: Wanted) -> Features:
    return measure(pool.load_eye(folder, wanted.device), cases, show_progress=wanted.show_progress)


def _segmenting(pool: Pool, folder: Path, wanted: Wanted) -> scores.Measure:
    return lambda data: scores.segment(pool, folder, data, wanted.device, show_progress=wanted.show_progress)


def _choose(pool: Pool, features: Features, cases: FoldCases) -> Choice:
    """The same for every method; all but ODEx have one member, which is the nearest."""
    distances = to_stages([features[name] for name in cases.train], pool.seen)
    choice = choose(distances, [seen.held_out for seen in pool.seen], pool.histories, pool.history)
    for number, distance in enumerate(choice.distances):
        print(f"Member {number}: distance {distance:.2f} of the stage's training cases")
    if pool.method == "odex":
        what = "a new member begins as its copy" if choice.opens else "it goes on"
        print(f"Member {choice.nearest} is the nearest; xi is {choice.threshold:.2f}: {what}.")
    return choice


def _train(folder: Path, record: StageRecord, trainer: str, start: Path | None, wanted: Wanted) -> Model:
    """The model of the stage, by nnU-Net's own training in a results folder of the pool."""
    data, base = record.data, folder / MODELS / record.data.dataset
    results = base / f"{trainer}__{data.plans}__{record.configuration}"
    path = base / RECORD
    if base.exists():
        _check_begun(base, path, record, wanted.goes_on)
    base.mkdir(parents=True, exist_ok=True)
    record.save(path)
    begun = any((results / f"fold_{data.fold}" / name).is_file() for name in UNFINISHED)
    variables = {
        "nnUNet_results": str(folder / MODELS),
        VARIABLE: str(path),
        START: None if start is None else str(start),
    }
    pools.forget_loaded()
    print(f"nnUNetv2_train {data.dataset} {record.configuration} {data.fold} -tr {trainer} -p {data.plans}")
    with _environment(variables):
        torch.set_num_threads(os.cpu_count() or 1 if wanted.device.type == "cpu" else 1)  # as nnUNetv2_train does
        run_training(
            data.dataset, record.configuration, data.fold, trainer, data.plans,
            continue_training=begun, device=wanted.device,
        )  # fmt: skip
    if not (results / f"fold_{data.fold}" / CHECKPOINT).is_file():
        raise UserError(
            f"the training of {data.dataset} left no {CHECKPOINT} in {results}.", "Look at its log there; --c goes on."
        )
    return Model.of(folder, results, data.fold)


def _check_begun(base: Path, path: Path, record: StageRecord, goes_on: bool) -> None:
    anew = f"To begin anew, delete {base}."
    if not goes_on:
        raise UserError(
            f"{base} exists: this stage was begun and is not in the pool, which is as it was before.",
            f"--c goes on with it. {anew}",
        )
    try:
        begun = read_stage(path)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"{path} does not say how the stage was begun: {error!r}.", anew) from error
    for field in dataclasses.fields(StageRecord):
        there, here = getattr(begun, field.name), getattr(record, field.name)
        if there != here:
            raise UserError(
                f"{base} was begun another way: {field.name} was {there}, and is {here} now.",
                f"Go on with --c and the same flags, before any other stage. {anew}",
            )


def _grown(pool: Pool, stage: Stage, model: Model, record: StageRecord, choice: Choice | None) -> Pool:
    """The pool with one stage more: with one member more, or with the chosen one in its new version."""
    members, number = list(pool.members), len(pool.stages)
    before = () if choice is None else members[choice.nearest].history
    member = Member(model, (*before, number))
    if record.opens or choice is None:
        members.append(member)
    else:
        members[choice.nearest] = member
    return dataclasses.replace(pool, stages=(*pool.stages, stage), members=tuple(members))


@contextmanager
def _environment(variables: dict[str, str | None]) -> Iterator[None]:
    """Environment variables for the time of the block; None takes one away."""
    before = {name: os.environ.get(name) for name in variables}

    def put(values: dict[str, str | None]) -> None:
        for name, value in values.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

    put(variables)
    try:
        yield
    finally:
        put(before)
