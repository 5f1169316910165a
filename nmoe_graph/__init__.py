"""nmoe-graph: gates, contracts and merges of one repository as a content-addressed graph."""
