"""What a person watches: overlay, videos, windows, driving by hand."""
