"""Adversarial examples: how a network is fooled by a change that nobody sees, and what helps."""
