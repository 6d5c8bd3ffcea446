"""Evaluation: sufficiency of the attributes ([L] 4.2.3), Fréchet curve ([V] 5.2), intervals."""
