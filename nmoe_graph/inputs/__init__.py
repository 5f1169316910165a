"""What a command reads: its words, the import closure of a program, globs, and the meaning of a file."""
