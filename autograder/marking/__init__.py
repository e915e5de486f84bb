"""From submissions to grades: intake, the pipeline, where it runs, points and provenance."""
