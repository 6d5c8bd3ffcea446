"""Pure tensor functions: adversarial, regularisation, reconstruction and classifier losses."""
