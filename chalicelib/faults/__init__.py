"""One kind of fault, one file: it applies itself to a call, and reports what it did."""
