"""A new scanner, on real MRI: benchmarks of `nnunetv2_factorizer.screen` and `nnunetv2_factorizer.adaptation`."""
