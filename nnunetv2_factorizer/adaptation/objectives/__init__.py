"""Objectives beside the segmentation, one a file."""
