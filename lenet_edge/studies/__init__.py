"""Recipes over seeds, trained and compared by paired tests."""
