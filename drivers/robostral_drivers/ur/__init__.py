"""Universal Robots: our side of the RTDE wire, and a twin of the controller's side."""
