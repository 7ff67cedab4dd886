"""What only a GPU can tell, measured in ten minutes: one section a file, in the order in which they run."""
