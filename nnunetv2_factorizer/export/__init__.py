"""A trained Factorizer as a model that stock nnU-Net installs and runs."""
