"""Diagnosis of a trained model: what is measured of it on validation images, and what the numbers say has failed."""

from stylex.diagnosis.diagnose import diagnose, tell, write_diagnosis

__all__ = ["diagnose", "tell", "write_diagnosis"]
