"""The thing one keeps, a `Recognizer`, and everything asked of it about a clip. Begin with `recognizer` or `predict`."""
