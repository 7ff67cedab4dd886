"""How fast networks and recipes learn: real trainings of equal length, with their curves."""
