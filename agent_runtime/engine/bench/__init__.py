"""The engine alone, timed on one device: random weights of any geometry; torch, transformers and Triton suffice."""
