"""What the tests of hostile calls share."""
