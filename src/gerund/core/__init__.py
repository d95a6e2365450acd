"""The nouns, the errors, and plumbing that knows no video. Imports no other room."""
