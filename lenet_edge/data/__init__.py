"""Data sets as whole arrays: where they come from, how they are split, and what may be changed in an image."""
