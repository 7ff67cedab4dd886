"""Images of a new scanner, made to look like training images before they are predicted; nothing is trained."""
