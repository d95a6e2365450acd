"""Which action happens when: timelines, their files and pictures, and how good they are. Begin with `timeline`."""
