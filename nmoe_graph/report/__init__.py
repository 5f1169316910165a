"""Answers become text, tables and graphs for people; data for programs comes from the answers themselves."""
