"""What a survey's pipeline would list: measurements, photometry, morphology, spectroscopy and truth."""
