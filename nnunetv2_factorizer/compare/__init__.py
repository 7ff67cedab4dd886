"""Networks trained on the same data for the same budget by nnU-Net's own training, and their table."""
