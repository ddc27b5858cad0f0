"""Control laws: what turns a policy's chunk or an operator's goal into one set-point per control tick."""
