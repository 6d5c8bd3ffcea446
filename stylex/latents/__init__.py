"""Latents: what encoder, generator and classifier say of each analysed image, and the table that holds it."""
