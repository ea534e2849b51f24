"""Where images come from: downloads, archives in MedMNIST's layout, and synthetic phantoms."""
