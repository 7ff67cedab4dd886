"""`nnUNetv2_factorizer_unlabelled`: cases like nnU-Net's own, what is kept, what is skipped, what is refused."""

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import ExperimentPlanner
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from nnunetv2.run.run_training import get_trainer_from_args
from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets
from skimage import io
from torch import device

from nnunetv2_factorizer.cli import unlabelled as command
from nnunetv2_factorizer.demo.phantom import write_dataset
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.models.json_files import read_json
from nnunetv2_factorizer.pretraining import unlabelled_case
from nnunetv2_factorizer.pretraining.unlabelled import _in_processes
from tests.end_to_end.datasets import write_rgb
from tests.models.test_model_zip import digests
from tests.planning.test_planner import write_fingerprint

TARGET, NAME = "Dataset998_Phantom", "Dataset501_Archive"
SUFFIXES = (".b2nd", "_seg.b2nd", ".pkl")

Run = Callable[..., str]


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A target with a CT channel, axes that are transposed, two configurations and the second stage of a cascade."""
    base = tmp_path_factory.mktemp("planned")
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("raw", "preprocessed", "results"):
            (base / variable).mkdir()
            patch.setenv(f"nnUNet_{variable}", str(base / variable))
        patch.setenv("nnUNet_n_proc_DA", "1")  # nnU-Net's planner needs at least one
        write_dataset(base / "raw" / TARGET, num_training=2, num_test=0)
        description = read_json(base / "raw" / TARGET / "dataset.json")
        description["channel_names"]["0"] = "CT"
        (base / "raw" / TARGET / "dataset.json").write_text(json.dumps(description))
        (base / "preprocessed" / TARGET).mkdir()
        write_fingerprint(base / "preprocessed" / TARGET, shape=(36, 36, 16), spacing=(4.0, 4.0, 7.0))
        ExperimentPlanner(TARGET).plan_experiment()
    plans_file = base / "preprocessed" / TARGET / "nnUNetPlans.json"
    plans = read_json(plans_file)
    assert plans["transpose_forward"] == [2, 0, 1]
    second = {"inherits_from": "3d_fullres", "previous_stage": "3d_fullres"}
    plans["configurations"]["3d_cascade_fullres"] = second
    plans_file.write_text(json.dumps(plans))
    return base


@pytest.fixture
def base(planned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """nnU-Net's folders with the target, and a folder of two images: `archive/scannerA`."""
    shutil.copytree(planned, tmp_path, dirs_exist_ok=True)
    for variable in ("raw", "preprocessed", "results"):
        monkeypatch.setenv(f"nnUNet_{variable}", str(tmp_path / variable))
    shutil.copytree(tmp_path / "raw" / TARGET / "imagesTr", tmp_path / "archive" / "scannerA")
    return tmp_path


@pytest.fixture
def run(base: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command in this process and gives what it printed."""

    def run(*folders: str | Path, d: str = NAME, like: str = "998", flags: tuple[str, ...] = ("-np", "1")) -> str:
        folders = folders or (base / "archive" / "scannerA",)
        argv = ["unlabelled", "-i", *map(str, folders), "-d", d, "-like", like, *flags, "--disable_progress_bar"]
        monkeypatch.setattr(sys, "argv", argv)
        capsys.readouterr()
        command.main()
        return capsys.readouterr().out

    return run


@pytest.fixture
def refused(run: Run, base: Path) -> Run:
    """Runs the command, which must end with a message and change nothing; gives the message."""

    def refused(*folders: str | Path, **options: Any) -> str:
        before = digests(base)
        with pytest.raises(SystemExit) as end:
            run(*folders, **options)
        assert digests(base) == before
        return str(end.value.code)

    return refused


def folder(base: Path, configuration: str = "3d_fullres") -> Path:
    return base / "preprocessed" / NAME / f"nnUNetPlans_{configuration}"


def report(base: Path, configuration: str = "3d_fullres") -> dict[str, Any]:
    return read_json(base / "preprocessed" / NAME / "unlabelled_report.json")["configurations"][configuration]


def copy_case(source: Path, target: Path, name: str, change: Callable[[Any], Any] = lambda image: image) -> None:
    """A phantom under another name and in another form."""
    target.mkdir(exist_ok=True)
    for channel in range(4):
        image = sitk.ReadImage(str(source / f"phantom_Tr000_{channel:04d}.nii.gz"))
        sitk.WriteImage(change(image), str(target / f"{name}_{channel:04d}.nii.gz"))


def with_nan(image: Any) -> Any:
    array = sitk.GetArrayFromImage(image)
    array[3, 3, 3] = np.nan
    return sitk.GetImageFromArray(array)


@pytest.mark.parametrize("configuration", ["2d", "3d_fullres"])
def test_a_case_is_what_nnunet_makes_of_it_in_the_target(base: Path, run: Run, configuration: str) -> None:
    before = digests(base / "raw" / TARGET) | digests(base / "preprocessed" / TARGET) | digests(base / "archive")
    labels = shutil.copytree(base / "raw" / TARGET / "labelsTr", base / "archive" / "labelsTr")
    said = run(flags=("-np", "1", "-c", configuration))
    assert f"The labels in {labels} are not read." in said
    assert f"nnUNetv2_train 501 {configuration} all -p nnUNetPlans" in said
    shutil.rmtree(labels)
    after = digests(base / "raw" / TARGET) | digests(base / "preprocessed" / TARGET) | digests(base / "archive")
    assert after == before

    plans = PlansManager(str(base / "preprocessed" / TARGET / "nnUNetPlans.json"))
    case = get_filenames_of_train_images_and_targets(str(base / "raw" / TARGET))["phantom_Tr001"]
    DefaultPreprocessor(verbose=False).run_case_save(
        str(base / "theirs"), case["images"], case["label"], plans, plans.get_configuration(configuration),
        read_json(base / "preprocessed" / TARGET / "dataset.json"),
    )  # fmt: skip
    data, _, _, properties = nnUNetDatasetBlosc2(str(base)).load_case("theirs")
    ours, seg, _, our_properties = nnUNetDatasetBlosc2(str(folder(base, configuration))).load_case(
        "scannerA_phantom_Tr001"
    )
    assert (ours.shape, ours.chunks, ours.blocks) == (data.shape, data.chunks, data.blocks)
    np.testing.assert_array_equal(ours[:], data[:])
    assert seg.shape == (1, *data.shape[1:])
    assert set(np.unique(seg[:])) <= {-1, 0}
    assert our_properties.pop("class_locations") == {1: [], 2: []}
    properties.pop("class_locations")
    assert our_properties == properties


def test_stock_trainer_and_loader_read_it(base: Path, run: Run) -> None:
    run()
    trainer = get_trainer_from_args(NAME, "3d_fullres", "all", device=device("cpu"))
    trainer.dataset_class = None
    training, validation = trainer.get_tr_and_val_datasets()
    assert training.identifiers == validation.identifiers == ["scannerA_phantom_Tr000", "scannerA_phantom_Tr001"]
    patch = [64, *trainer.configuration_manager.patch_size[1:]]  # along the first axis, larger than the images
    batch = next(nnUNetDataLoader(training, 3, patch, patch, trainer.label_manager, oversample_foreground_percent=0.5))
    assert batch["data"].shape == (3, 4, *patch)
    assert batch["data"].isfinite().all()
    assert "scannerA" not in json.dumps(trainer.dataset_json)  # checkpoints hold it, and go to other hospitals
    assert (base / "preprocessed" / NAME / "dataset_fingerprint.json").is_file()


def test_target_with_an_ignore_label(base: Path, run: Run) -> None:
    path = base / "preprocessed" / TARGET / "dataset.json"
    path.write_text(json.dumps(read_json(path) | {"labels": {"background": 0, "lesion": 1, "ignore": 2}}))
    run()
    trainer = get_trainer_from_args(NAME, "3d_fullres", "all", device=device("cpu"))
    dataset, _ = trainer.get_tr_and_val_datasets()
    patch = trainer.configuration_manager.patch_size
    batch = next(nnUNetDataLoader(dataset, 2, patch, patch, trainer.label_manager, oversample_foreground_percent=0.5))
    assert batch["data"].shape == (2, 4, *patch)


def test_json_files(base: Path, run: Run) -> None:
    run()
    raw, preprocessed = base / "raw" / NAME, base / "preprocessed" / NAME
    description = read_json(raw / "dataset.json")
    theirs = read_json(base / "raw" / TARGET / "dataset.json")
    assert {key: description[key] for key in theirs} == theirs
    assert get_filenames_of_train_images_and_targets(str(raw))["scannerA_phantom_Tr000"]["images"] == [
        str(base / "archive" / "scannerA" / f"phantom_Tr000_{channel:04d}.nii.gz") for channel in range(4)
    ]
    assert read_json(raw / "case_metadata.json") == read_json(preprocessed / "case_metadata.json")
    assert read_json(raw / "case_metadata.json")["scannerA_phantom_Tr000"] == {
        "site": "scannerA",
        "source": str(base / "archive" / "scannerA"),
    }
    plans = read_json(base / "preprocessed" / TARGET / "nnUNetPlans.json")
    assert read_json(preprocessed / "nnUNetPlans.json") == plans | {"dataset_name": NAME}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("kept_bytes", [None, 40])
def test_only_an_incomplete_case_is_made_again(base: Path, run: Run, suffix: str, kept_bytes: int | None) -> None:
    run()
    whole, broken = "scannerA_phantom_Tr000", folder(base) / f"scannerA_phantom_Tr001{suffix}"
    times = [(folder(base) / f"{whole}{s}").stat().st_mtime_ns for s in SUFFIXES]
    before, *_ = nnUNetDatasetBlosc2(str(folder(base))).load_case("scannerA_phantom_Tr001")
    before = before[:]
    if kept_bytes is None:
        broken.unlink()
    else:
        broken.write_bytes(broken.read_bytes()[:kept_bytes])
    assert "3d_fullres: 1 preprocessed, 1 kept" in run()
    assert [(folder(base) / f"{whole}{s}").stat().st_mtime_ns for s in SUFFIXES] == times
    after, *_ = nnUNetDatasetBlosc2(str(folder(base))).load_case("scannerA_phantom_Tr001")
    np.testing.assert_array_equal(after[:], before)
    assert report(base)["made"] == ["scannerA_phantom_Tr001"]


def test_image_that_has_changed_is_made_again(base: Path, run: Run) -> None:
    run()
    os.utime(base / "archive" / "scannerA" / "phantom_Tr001_0002.nii.gz", (4e9, 4e9))
    assert "1 preprocessed, 1 kept" in run()
    assert "0 preprocessed, 2 kept" in run()


def test_preprocessed_cases_outlive_their_images(base: Path, run: Run) -> None:
    run()
    for image in (base / "archive" / "scannerA").glob("phantom_Tr001_*"):
        image.unlink()
    assert "0 preprocessed, 2 kept" in run()


@pytest.mark.parametrize("interrupted_by", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_interruption(
    base: Path, run: Run, monkeypatch: pytest.MonkeyPatch, interrupted_by: type[BaseException] | BaseException
) -> None:
    def replace(old: str, new: Path) -> None:
        if str(new).endswith("Tr001.pkl"):
            raise interrupted_by
        shutil.move(old, new)

    with monkeypatch.context() as patch:
        patch.setattr(unlabelled_case.os, "replace", replace)
        with pytest.raises((KeyboardInterrupt, SystemExit)) as end:
            run()
    if end.type is SystemExit:
        assert "No space left" in str(end.value.code)
        assert "\nFree some space if the disk is full" in str(end.value.code)
    assert nnUNetDatasetBlosc2.get_identifiers(str(folder(base))) == ["scannerA_phantom_Tr000"]
    assert [path.name for path in (base / "preprocessed" / NAME).iterdir() if path.is_dir()] == [folder(base).name]
    assert "1 preprocessed, 1 kept" in run()
    assert len(nnUNetDatasetBlosc2.get_identifiers(str(folder(base)))) == 2


def test_what_is_skipped_and_why(base: Path, run: Run) -> None:
    good, bad = base / "archive" / "scannerA", base / "archive" / "bad"
    copy_case(good, bad, "small", lambda image: image[:9, :9, :9])
    copy_case(good, bad, "slice", lambda image: image[:, :, 4:5])
    copy_case(good, bad, "flat", lambda image: sitk.ReadImage(str(good / "phantom_Tr000_0000.nii.gz")) * 0 + 5)
    copy_case(good, bad, "few")
    (bad / "few_0003.nii.gz").unlink()
    copy_case(good, bad, "gap")
    (bad / "gap_0001.nii.gz").unlink()
    copy_case(good, bad, "more")
    shutil.copy(bad / "more_0000.nii.gz", bad / "more_0004.nii.gz")
    copy_case(good, bad, "broken")
    (bad / "broken_0002.nii.gz").write_bytes(b"no image")
    copy_case(good, bad, "shapes")
    shutil.copy(bad / "small_0000.nii.gz", bad / "shapes_0003.nii.gz")
    for name, spacing in (("micrometres", (3600, 3600, 7500)), ("metres", (0.0036, 0.0036, 0.0075))):

        def respaced(image: Any, spacing: tuple[float, ...] = spacing) -> Any:
            image.SetSpacing(spacing)
            return image

        copy_case(good, bad, name, respaced)
    for channel in range(4):
        two_dimensional = sitk.ReadImage(str(good / "phantom_Tr000_0000.nii.gz"))[:, :, 8]
        sitk.WriteImage(two_dimensional, str(bad / f"flat2d_{channel:04d}.nii.gz"))
    (bad / "notes.txt").write_text("none")
    (bad / "._small_0000.nii.gz").write_text("a Mac's")

    said = run(good, bad)
    skipped = report(base)["skipped"]
    reasons = {name.removeprefix("bad_"): reason for name, reason in skipped.items()}
    assert {name: reason for name, reason in reasons.items() if name not in ("micrometres", "metres", "broken")} == {
        "slice": "it is a single slice, and the configuration is 3D",
        "flat": "all its voxels have the same value",
        "flat2d": "it is a single slice, and the configuration is 3D",
        "few": "few_0003.nii.gz is missing: the target has 4 channels",
        "gap": "gap_0001.nii.gz is missing",
        "more": "it has 5 channels, the target has 4",
        "shapes": "it cannot be read: ERROR! Not all input images have the same shape!",
    }
    assert reasons["broken"].startswith("it cannot be read: ")
    assert reasons["metres"].endswith("40 x 16 x 40 voxels would be 0 x 0 x 0")
    assert "does not go with the target's 7 x 4 x 4 mm" in reasons["micrometres"]
    assert f"2 files in {bad}, such as ._small_0000.nii.gz, are not named CASE_0000.nii.gz." in said
    assert "3d_fullres: 3 preprocessed, 0 kept from an earlier run, 10 skipped." in said
    assert "  3 are smaller than the patch: nnU-Net pads them" in said  # the others by a few voxels, as in any data set
    assert "bad_small" in report(base)["smaller_than_patch"]
    assert "skipped bad_few: few_0003.nii.gz is missing" in said
    usable = sorted(nnUNetDatasetBlosc2.get_identifiers(str(folder(base))))
    assert usable == ["bad_small", "scannerA_phantom_Tr000", "scannerA_phantom_Tr001"]
    assert sorted(read_json(base / "raw" / NAME / "dataset.json")["dataset"]) == usable
    assert read_json(base / "preprocessed" / NAME / "dataset.json")["numTraining"] == 3


def test_voxels_that_are_not_finite(base: Path, run: Run) -> None:
    """SimpleITK reads NaN of NIfTI files as 0, nnU-Net's other reader as it is."""
    plans_file = base / "preprocessed" / TARGET / "nnUNetPlans.json"
    plans_file.write_text(json.dumps(read_json(plans_file) | {"image_reader_writer": "NibabelIO"}))
    copy_case(base / "archive" / "scannerA", base / "archive" / "scannerA", "holes", with_nan)
    run()
    reason = "there are NaN or infinite voxels in channel 0, 1, 2, 3"
    assert report(base)["skipped"] == {"scannerA_holes": reason}


def test_image_that_is_no_longer_usable_is_taken_away(base: Path, run: Run) -> None:
    run()
    broken = base / "archive" / "scannerA" / "phantom_Tr001_0002.nii.gz"
    broken.write_bytes(b"no image")
    os.utime(broken, (4e9, 4e9))
    run()
    assert nnUNetDatasetBlosc2.get_identifiers(str(folder(base))) == ["scannerA_phantom_Tr000"]
    assert list(read_json(base / "raw" / NAME / "case_metadata.json")) == ["scannerA_phantom_Tr000"]


def test_images_are_added_and_other_columns_stay(base: Path, run: Run) -> None:
    run()
    metadata_file = base / "raw" / NAME / "case_metadata.json"
    metadata = read_json(metadata_file)
    metadata["scannerA_phantom_Tr000"]["stage"] = 2
    metadata_file.write_text(json.dumps(metadata))
    others = [base / "archive" / "scannerB", base / "old" / "scannerA", base / "raw" / TARGET / "imagesTr"]
    for other in others[:2]:
        shutil.copytree(base / "archive" / "scannerA", other)
    said = run(*others, others[0] / ".." / "scannerB", d="501")
    assert "3d_fullres: 6 preprocessed, 2 kept" in said
    metadata = read_json(base / "preprocessed" / NAME / "case_metadata.json")
    assert metadata["scannerA_phantom_Tr000"]["stage"] == 2
    assert {case: entry["site"] for case, entry in metadata.items() if case.endswith("000")} == {
        "scannerA_phantom_Tr000": "scannerA",
        "scannerB_phantom_Tr000": "scannerB",
        "old_scannerA_phantom_Tr000": "old_scannerA",
        f"{TARGET}_phantom_Tr000": TARGET,
    }
    # Another configuration is made of all of them, from wherever they came.
    assert "2d: 8 preprocessed, 0 kept" in run(d="501", flags=("-np", "1", "-c", "2d"))


def test_cascade_is_left_out(base: Path, run: Run) -> None:
    said = run(flags=("-np", "1", "-c", "3d_fullres", "3d_cascade_fullres"))
    assert "3d_cascade_fullres is left out: the second stage of a cascade needs" in said
    assert "nnUNetv2_train 501 3d_cascade_fullres" not in said


def test_name_of_a_case_that_looks_like_labels(base: Path, run: Run) -> None:
    copy_case(base / "archive" / "scannerA", base / "archive" / "scannerB", "t1_seg")
    run(base / "archive" / "scannerB")
    assert nnUNetDatasetBlosc2.get_identifiers(str(folder(base))) == ["scannerB_t1_seg_image"]


def test_rgb_images(base: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    target = base / "raw" / "Dataset997_Nuclei"
    write_rgb(target)
    monkeypatch.setenv("nnUNet_n_proc_DA", "1")
    (base / "preprocessed" / target.name).mkdir()
    write_fingerprint(base / "preprocessed" / target.name, shape=(1, 64, 64), spacing=(999, 1, 1), channels=3)
    ExperimentPlanner(target.name).plan_experiment()
    transparent = io.imread(target / "imagesTr" / "nuclei_Tr000_0000.png")
    transparent = np.concatenate([transparent, transparent[..., :1]], axis=-1)
    (base / "archive" / "microscope").mkdir()
    io.imsave(base / "archive" / "microscope" / "transparent_0000.png", transparent, check_contrast=False)
    run(base / "archive" / "microscope", target / "imagesTr", like=target.name)
    assert report(base, "2d")["skipped"] == {"microscope_transparent": "it has 4 channels, the target has 3"}
    data, *_ = nnUNetDatasetBlosc2(str(folder(base, "2d"))).load_case("Dataset997_Nuclei_nuclei_Tr000")
    assert data.shape == (3, 1, 64, 64)


def test_another_process_does_it(base: Path, run: Run) -> None:
    copy_case(base / "archive" / "scannerA", base / "archive" / "scannerB", "case")
    assert "3d_fullres: 1 preprocessed" in run(base / "archive" / "scannerB", flags=("-np", "2"))


def test_process_that_is_killed() -> None:
    with pytest.raises(UserError, match="was killed, probably since the memory was used up"):
        list(_in_processes(os._exit, [1], 1))


def test_nothing_usable(base: Path, run: Run) -> None:
    other = base / "archive" / "twoChannels"
    copy_case(base / "archive" / "scannerA", other, "case")
    for channel in (2, 3):
        (other / f"case_{channel:04d}.nii.gz").unlink()
    with pytest.raises(SystemExit) as end:
        run(other)
    message = str(end.value.code)
    assert "none of the 1 images can be used. The first, twoChannels_case: case_0002.nii.gz is missing" in message
    assert "the target has 4 channels" in message
    assert report(base)["skipped"]
    run()  # the ID can be used with other images


def test_folders_that_are_refused(base: Path, refused: Run) -> None:
    assert refused(base / "nowhere") == (
        f"the folder {base / 'nowhere'} does not exist.\nGive folders of images with -i."
    )
    assert refused(base / "raw" / TARGET).endswith(f"Give {base / 'raw' / TARGET / 'imagesTr'} with -i.")
    labels = refused(base / "raw" / TARGET / "labelsTr")
    assert "holds no images with the names that nnU-Net asks for, but 2 other files, such as phantom_Tr000" in labels
    assert "\nName them CASE_0000.nii.gz" in labels


def test_folders_of_one_name(base: Path, refused: Run, tmp_path: Path) -> None:
    others = [base / name / "archive" / "scannerA" for name in ("x", "y")]
    for other in others:
        shutil.copytree(base / "archive" / "scannerA", other)
    assert "have the same name, and it is to say where an image comes from.\nRename" in refused(
        base / "archive" / "scannerA", *others
    )


def test_targets_that_are_refused(base: Path, refused: Run) -> None:
    assert "Could not find a dataset with the ID 777" in refused(like="777")
    assert "\nGive the ID or the name of one of your data sets with -like." in refused(like="phantom")
    message = refused(flags=("-np", "1", "-p", "OtherPlans"))
    assert "was not planned and preprocessed with the plans OtherPlans" in message
    assert "nnUNetv2_plan_and_preprocess -d 998" in message
    assert "have no configuration 3d_lowres.\nGive some of them with -c: 2d 3d_fullres" in refused(
        flags=("-np", "1", "-c", "3d_lowres")
    )
    assert "no other configuration was given" in refused(flags=("-np", "1", "-c", "3d_cascade_fullres"))


@pytest.mark.parametrize("place", ["raw", "preprocessed", "results"])
def test_ids_that_are_refused(base: Path, refused: Run, place: str) -> None:
    (base / place / "Dataset300_Other").mkdir()
    (base / place / "Dataset300_Other" / "dataset.json").write_text("{}")
    for d in ("300", "Dataset300_Archive", "Dataset300_Other"):
        assert "the ID 300 is in use by Dataset300_Other. Nothing was changed.\nGive another ID" in refused(d=d)
    assert "the ID 998 is in use by Dataset998_Phantom" in refused(d="998")
    assert "1000 is no name of a data set" in refused(d="1000")
    assert "Archive is no name of a data set" in refused(d="Archive")


def test_data_set_of_another_target_or_other_plans(base: Path, run: Run, refused: Run) -> None:
    run()
    other = "Dataset996_Other"
    shutil.copytree(base / "preprocessed" / TARGET, base / "preprocessed" / other)
    assert f"{NAME} was made like {TARGET}, not like {other}" in refused(like="996")
    plans_file = base / "preprocessed" / TARGET / "nnUNetPlans.json"
    plans = read_json(plans_file)
    plans["configurations"]["3d_fullres"]["spacing"] = [1, 1, 1]
    plans_file.write_text(json.dumps(plans))
    assert f"is not what the plans of {TARGET} are now. Nothing was changed." in refused()


@pytest.mark.parametrize("variable", ["nnUNet_raw", "nnUNet_preprocessed"])
def test_variables_that_are_not_set(refused: Run, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.delenv(variable)
    assert refused().startswith(f"{variable} is not set.\nSet it as nnU-Net's documentation says")


def test_empty_folders_of_an_interrupted_run(base: Path, run: Run) -> None:
    (base / "raw" / NAME).mkdir()
    assert "Dataset501_Archive" in run(d="501", flags=("-np", "1", "-dataset_name", "Archive"))


def test_help_is_enough_to_work_with(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(flags=("-h",))
    said = capsys.readouterr().out
    for word in ("CASE_0000.nii.gz", "case_metadata.json", "unlabelled_report.json", "nnUNetv2_train 501"):
        assert word in said
