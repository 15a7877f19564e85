"""A trained network put to use: on images that nobody has labelled, in a file for other programs, on MLflow."""
