"""Presets of the planner. A preset is numbers and names."""

from nnunetv2_factorizer.planning.planner import FactorizerPlanner


class nnUNetPlannerFactorizer(FactorizerPlanner):
    """The paper's Swin Factorizer for a GPU of 8 GB; `-matricize` makes it Local or Global."""


class nnUNetPlannerConvFactorizer(FactorizerPlanner):
    """The Swin Factorizer with a depthwise convolution before each block (ours) for a GPU of 8 GB."""

    choices = {"matricize": "swin", "local_path": "depthwise"}
    default_plans_name = "nnUNetConvFactorizerPlans"
