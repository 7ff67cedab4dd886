"""Segmentation of one image with no labels, no model and no other images."""
