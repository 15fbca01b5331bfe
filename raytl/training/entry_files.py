"""The files of an entry of prefix features. No torch here: who passes them on needs none."""

VALUES, OFFSETS, INFO = "features.npy", "offsets.npy", "info.json"
