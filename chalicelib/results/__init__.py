"""What runs did to the application: counted, flushed, judged, and exported as metrics and spans."""
