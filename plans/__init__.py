"""Planners for `nnUNetv2_factorizer_plan_and_preprocess -pl NAME`."""

from nnunetv2_factorizer.planning.planner import FamilyPlanner
from nnunetv2_factorizer.plans import presets

PLANNERS: dict[str, type[FamilyPlanner]] = {
    name: preset for name, preset in vars(presets).items() if name.startswith("nnUNetPlanner")
}
