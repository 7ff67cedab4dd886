"""From nnU-Net's plans to Factorizers, and plans that name a Factorizer."""
