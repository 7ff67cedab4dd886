"""Training without labels, and what comes after it: registering images, tasks, export, fine-tuning."""
