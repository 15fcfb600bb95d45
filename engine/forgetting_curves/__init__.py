"""Networks that learn one task after another, what they forget, why, and what helps."""
