"""What is to be done in a cell: one file per task with its contract, goal, reward, success and scripted expert."""

TASKS = {"Reach": "robostral_sims.tasks.reach:Reach"}
"""Every task by the name that its environment id carries."""
