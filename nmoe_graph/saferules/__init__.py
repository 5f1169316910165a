"""What must not be public, a rule a shape: inside hosts, addresses, paths and clusters, and credentials that have a shape.

A rule is a pattern that is linear in the line (every repetition is bounded), and sometimes a second look that takes back what
only looks alike.  The shapes are of public formats.  Where two rules find the same, the earlier one names it.
"""

from __future__ import annotations

from . import clusters, credentials, hosts, paths
from .rule import Rule

__all__ = ["RULES", "Rule"]

RULES: tuple[Rule, ...] = (*credentials.RULES, *hosts.RULES, *paths.RULES, *clusters.RULES)
