"""Segmentation without labels: the features of a trained model, factorized into concepts (F-SEG)."""
