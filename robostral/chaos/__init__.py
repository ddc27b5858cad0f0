"""The fault plane: breaks parts of a twin cell on purpose, seeded, and counts what followed. Never at a robot."""
