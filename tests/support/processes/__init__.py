"""Real processes: servers, their workers, other hosts, and what they share."""
