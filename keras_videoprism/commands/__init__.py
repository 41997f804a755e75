"""What the command line does, as functions: data, models and training put together."""
