"""Pytest plug-in for users' own repositories."""
