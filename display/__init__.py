"""Display for people: composed images, videos, windows, driving with the keyboard."""
