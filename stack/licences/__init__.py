"""Which licences the modules and packages have that are built or installed, and which of them this project takes."""
