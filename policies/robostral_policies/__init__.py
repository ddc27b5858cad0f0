"""Training: experts, imitation, export, evaluation and the open weights."""
