"""What can be inconsistent in what runs wrote, and how it is mended; `src.doctor` asks."""
