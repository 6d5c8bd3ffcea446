"""Encoder, mapping, synthesis and discriminator networks, and the StyleSpace they share."""
