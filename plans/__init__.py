"""Planners for `nnUNetv2_factorizer_plan_and_preprocess -pl NAME`."""

from nnunetv2_factorizer.plans.nnUNetPlannerFactorizer import (
    nnUNetPlannerFactorizer,
    nnUNetPlannerFactorizerBraTS,
    nnUNetPlannerFactorizerISLES,
    nnUNetPlannerFactorizerL,
    nnUNetPlannerFactorizerM,
    nnUNetPlannerFactorizerXL,
)

PLANNERS = {
    planner.__name__: planner
    for planner in (
        nnUNetPlannerFactorizer,
        nnUNetPlannerFactorizerM,
        nnUNetPlannerFactorizerL,
        nnUNetPlannerFactorizerXL,
        nnUNetPlannerFactorizerBraTS,
        nnUNetPlannerFactorizerISLES,
    )
}
