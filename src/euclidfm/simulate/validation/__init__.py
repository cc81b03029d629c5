"""How real a mock sky is: figures, and distances from real data."""
