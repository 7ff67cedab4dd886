"""The dial of a trained Factorizer: iterations, rank, solver and skipped blocks, measured without training again."""
