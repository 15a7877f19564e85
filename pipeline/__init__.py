"""convtrial: from a question about a convolutional network to a verdict one may publish."""
