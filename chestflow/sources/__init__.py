"""Where images come from: archives in MedMNIST's layout, downloads, and synthetic phantoms. What is
done with the arrays afterwards belongs in `images`.
"""
