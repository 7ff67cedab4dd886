"""A trained model as a thing: its files, what is in them, which one it is, and copies of it."""
