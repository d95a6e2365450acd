"""The only room that knows the decoder: reading, writing and drawing on video. Begin with `video`."""
