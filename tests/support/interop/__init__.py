"""What the tests of other libraries' files share."""
