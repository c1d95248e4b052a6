"""The files by which the processes of one user find and trust each other."""
