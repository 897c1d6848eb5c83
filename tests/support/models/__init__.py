"""What the tests of the models share."""
