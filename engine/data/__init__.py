"""The data everyone shares: points in the plane, procedural glyphs and real handwritten digits."""
