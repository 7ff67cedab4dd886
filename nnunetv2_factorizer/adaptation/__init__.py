"""A trained model on images of a new scanner, without labels from there or with a few."""
