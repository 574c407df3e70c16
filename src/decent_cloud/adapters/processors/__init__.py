"""Payment processors, one room each."""
