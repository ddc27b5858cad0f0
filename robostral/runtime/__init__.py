"""Run time: the loop process beside the machine, its mailbox, transport, recorder, ladder and operator."""
