"""Git is the content-addressed store: discovery, objects, snapshots, the work tree, merges in memory."""
