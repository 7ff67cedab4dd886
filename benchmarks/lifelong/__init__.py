"""Five stages of hippocampus data, and what each method keeps of them."""
