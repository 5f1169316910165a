"""nmoe: a small Mixture-of-Experts trainer for NVIDIA B200.

Importing the package is light, so that `cpu:import` means something on every machine: the configuration and the target rule
are loaded, torch is not.
"""

from . import config, target

__version__ = "0.1.0"

__all__ = ["__version__", "config", "target"]
