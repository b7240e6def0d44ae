"""The brain side: what voxels can tell at most, what a decoder makes of them, and what a picture does to them."""
