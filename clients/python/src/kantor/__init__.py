"""Client of kantor."""
