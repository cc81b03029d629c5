"""Fine-tuning: the upper blocks of a model learn a task together with a linear head."""
