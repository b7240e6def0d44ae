"""Asks of voxels and regions what they tell, and of decoders what they make of them: ``decode-stream brain``."""
