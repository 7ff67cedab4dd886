"""The Factorizer as a plugin for nnU-Net v2."""

DISTRIBUTION = "nnunetv2-factorizer"
"""The name that pip knows."""
