"""The project as Kubernetes objects: pure functions from the model, and the user's kubectl to apply what they give."""
