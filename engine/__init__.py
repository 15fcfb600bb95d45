"""What is true: runs, claims and figures, usable without a screen."""
