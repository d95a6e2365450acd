"""Videos become cached rows of features, and rows become the tokens of a clip. Begin with `extractor`."""
