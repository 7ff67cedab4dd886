"""What pre-training without labels is worth: benchmarks of `nnunetv2_factorizer.pretraining`."""
