"""Baselines that see no embedding: supervised CNNs on pixels, and photometry alone."""
