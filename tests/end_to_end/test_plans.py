"""Plans that name a Factorizer: what they share with nnU-Net's, and what is left alone."""

from tests.end_to_end.workspace import Workspace, checkpoint


def test_own_plans_share_the_data_and_work_with_any_trainer(phantom: Workspace) -> None:
    preprocessed = phantom.preprocessed / "nnUNetPlans_3d_fullres"
    before = {path: path.stat().st_mtime_ns for path in preprocessed.iterdir()}
    phantom.run("nnUNetv2_factorizer_plan_and_preprocess", "-d", "998", "-c", "3d_fullres", "-np", "1")
    plan = phantom.plans("nnUNetHybridFactorizerMPlans")["configurations"]["3d_fullres"]
    assert plan["data_identifier"] == "nnUNetPlans_3d_fullres"
    assert plan["architecture"]["network_class_name"] == "nnunetv2_factorizer.network.Factorizer"
    assert plan["architecture"]["arch_kwargs"]["patch_size"] == plan["patch_size"]
    assert {path: path.stat().st_mtime_ns for path in preprocessed.iterdir()} == before

    fold = phantom.train("nnUNetTrainerShort", plans="nnUNetHybridFactorizerMPlans", SKIP_VALIDATION="1")
    assert any("mixer.nmf" in key for key in checkpoint(fold)["network_weights"])


def test_plans_that_say_something_else_are_not_overwritten(phantom: Workspace) -> None:
    command = (
        "nnUNetv2_factorizer_plan_and_preprocess",
        "-d",
        "998",
        "--no_pp",
        "-pl",
        "nnUNetPlannerGlobalFactorizer",
    )
    phantom.run(*command)
    assert phantom.plans("nnUNetGlobalFactorizerPlans")["configurations"]["2d"]["architecture"]["arch_kwargs"][
        "matricize"
    ] == "global"  # fmt: skip
    other = phantom.run(*command, "-overwrite_plans_name", "nnUNetPlans", check=False)
    assert other.returncode == 1
    assert "nnUNetPlans.json exists and says something else about" in other.stderr
    assert "-overwrite_plans_name NAME" in other.stderr
    assert "PlainConvUNet" in phantom.plans("nnUNetPlans")["configurations"]["2d"]["architecture"]["network_class_name"]


def test_another_spacing_gets_data_of_its_own(phantom: Workspace) -> None:
    phantom.run(
        "nnUNetv2_factorizer_plan_and_preprocess", "-d", "998", "-c", "3d_fullres", "-np", "1",
        "-overwrite_target_spacing", "6", "6", "6", "-overwrite_plans_name", "Coarse",
    )  # fmt: skip
    plan = phantom.plans("Coarse")["configurations"]["3d_fullres"]
    assert plan["spacing"] == [6, 6, 6]
    assert plan["architecture"]["arch_kwargs"]["local_path"] == "depthwise"
    assert plan["data_identifier"] == "Coarse_3d_fullres"
    assert (phantom.preprocessed / "Coarse_3d_fullres").is_dir()
