"""AstroPT: its checkpoints, read into models of ours."""
