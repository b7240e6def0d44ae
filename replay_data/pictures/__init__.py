"""Pictures: objects and scenes of them, the space they lie in, and folders of images."""
