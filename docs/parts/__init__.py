"""The generated parts of the pages, a module a subject: a function a part, which gives its text."""
