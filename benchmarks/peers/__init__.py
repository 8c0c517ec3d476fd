"""The same job, written with other libraries: `./dev bench peers`."""
