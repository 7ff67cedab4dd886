"""The Factorizer as a plugin for nnU-Net v2."""
