"""From image files to answers, one at a time."""
