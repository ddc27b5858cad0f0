"""Identification: the inertias and the friction of the arm one really has, from its logs, as a signed arm bundle."""
