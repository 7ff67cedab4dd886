"""The comparison of networks."""
