"""The Natural Scenes Dataset as it is published: betas, volumes, regions, design and pictures."""
