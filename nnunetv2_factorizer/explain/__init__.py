"""What the factorizations of a trained model saw: components, residuals, reports."""

from nnunetv2_factorizer.explain.components import ExplainedLayer, components

__all__ = ["ExplainedLayer", "components"]
