"""Norms that know more than the image: what a first pass has segmented, or the site that the image is from."""
