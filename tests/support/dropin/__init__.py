"""What the tests of the drop-in share."""
