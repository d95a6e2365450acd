"""All that needs torch to learn: the training loop, fine-tuning of the backbone, pretraining. Entered from `training`."""
