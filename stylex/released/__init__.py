"""The authors' released model ([N], google/explaining-in-style): fetched, read without TensorFlow, converted."""
