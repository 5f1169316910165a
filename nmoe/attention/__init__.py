"""Attention: latent (`mla`) in global layers, windowed with sinks (`swa`) in local ones."""
