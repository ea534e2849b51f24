"""Images and labels as mapped arrays, binary labels, drawing a labelled subset, captions."""
