"""The four experiments, each a file with its rows and controls."""

from benchmarks.training_for_scanners import aiva, cleaning, sites, unseen

EXPERIMENTS = {"unseen": unseen, "sites": sites, "aiva": aiva, "cleaning": cleaning}
"""Each has ARMS and ITERATIONS, `prepare_data` of the arms, and `run`, whose result has `values`, a column each."""
