"""What of NumPy is covered: every public callable has a class, and a page says what works.

`names` lists the callables and says of those without a definition why they have none, `classes`
classifies the others by what their samples show, `page` runs the checks and writes the page:

    python -m pycograd.testing.coverage docs
"""
