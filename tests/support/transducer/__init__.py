"""What the tests of the Transducer share."""
