"""Learning to learn: initial weights from which a few gradient steps on a few examples are enough."""
