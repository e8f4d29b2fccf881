"""Parts of the selection stage."""
