"""Vendor drivers and their twins, one folder per vendor."""
