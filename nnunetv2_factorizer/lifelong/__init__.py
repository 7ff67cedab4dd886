"""Data come in stages, from one scanner to the next: a pool of models that keeps what was learned."""
