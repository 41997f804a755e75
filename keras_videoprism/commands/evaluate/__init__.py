"""The evaluation of the paper: each task of Table 12 from the user's files to its number."""
