"""Labels made by people, and the model that learns while they are made: `gerund studio`. Begin with `project`."""
