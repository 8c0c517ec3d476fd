"""What `./dev` runs besides the product: the checks and the requirements files."""
