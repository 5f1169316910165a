"""What a workspace is asked: each question has a file."""
