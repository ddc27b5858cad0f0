"""The open weights: one folder per bundle, and the public half of the demo key that signed them."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent
