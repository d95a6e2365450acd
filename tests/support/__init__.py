"""What tests of several rooms make or ask with."""
