"""Whether an installation, plans and a checkpoint are usable. A module a question, each with a function `examine`."""
