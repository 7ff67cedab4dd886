"""The demonstration: generated data, the whole of nnU-Net's pipeline on them, a figure."""
