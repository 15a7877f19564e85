"""What a trained network does on data it was not trained on."""
