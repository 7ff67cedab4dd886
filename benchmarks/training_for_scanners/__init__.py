"""Trainings for other scanners, on real MRI: benchmarks of the objectives, norms and label cleaning of `adaptation`."""
