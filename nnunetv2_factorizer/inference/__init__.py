"""What our commands share when they run a trained model: its predictor, its cases, its tiles."""
