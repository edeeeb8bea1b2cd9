"""Faces to measure and train with: heads rendered by formula, with exact labels."""
