"""Networks that the Factorizer is compared with, behind the same contract."""
