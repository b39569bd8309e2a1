"""One file per command: its options, the call that does the work, and what it prints."""
