"""Fine-tuning of the upper blocks of a model together with a linear head."""
