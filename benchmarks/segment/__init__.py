"""What segmentation of single images without labels is worth: benchmarks of `nnunetv2_factorizer.segment`."""
